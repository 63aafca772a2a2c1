package identity

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/certificate"

	"github.com/drover-dev/drover/agent/atomicfile"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// kubeletPair is the name the kubelet keeps its client certificate under.
const kubeletPair = "kubelet-client"

// Kubelet is the first identity of a node's kubelet, which the agent asks for in its stead. Later ones the kubelet
// gets for itself.
type Kubelet struct {
	Paths
	Node string
	// Kubeconfig and CertDir are the kubelet's flags of that name.
	Kubeconfig string
	CertDir    string
}

// Introduce gets the certificate and writes it, then the kubeconfig, as the kubelet itself would. It leaves a
// kubeconfig alone that is there: whether it is of use the kubelet decides.
func (k *Kubelet) Introduce(ctx context.Context, api API, cluster v1alpha1.ClusterSettings) error {
	if _, err := os.Lstat(k.Kubeconfig); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	cert, err := obtain(ctx, api, key, kubeletOf(k.Node), 0)
	if err != nil {
		return err
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return err
	}
	pair, err := k.store(cert, encoded)
	if err != nil {
		return fmt.Errorf("store the kubelet's certificate: %w", err)
	}
	return k.writeKubeconfig(cluster, pair)
}

func kubeletOf(node string) holder {
	return holder{
		prefix: "drover-kubelet", node: node, signer: certificatesv1.KubeAPIServerClientKubeletSignerName,
		subject: pkix.Name{CommonName: v1alpha1.NodeUserPrefix + node, Organization: []string{v1alpha1.NodesGroup}},
	}
}

// store writes the pair where the kubelet looks for it and returns the path.
func (k *Kubelet) store(cert, key []byte) (string, error) {
	if err := os.MkdirAll(k.CertDir, 0o755); err != nil {
		return "", err
	}
	store, err := certificate.NewFileStore(kubeletPair, k.CertDir, k.CertDir, "", "")
	if err != nil {
		return "", err
	}
	if _, err := store.Update(cert, key); err != nil {
		return "", err
	}
	return store.CurrentPath(), nil
}

func (k *Kubelet) writeKubeconfig(cluster v1alpha1.ClusterSettings, pair string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["drover"] = &clientcmdapi.Cluster{Server: cluster.Server, CertificateAuthority: k.ServerCA()}
	config.AuthInfos["kubelet"] = &clientcmdapi.AuthInfo{ClientCertificate: pair, ClientKey: pair}
	config.Contexts["kubelet"] = &clientcmdapi.Context{Cluster: "drover", AuthInfo: "kubelet"}
	config.CurrentContext = "kubelet"
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the kubelet's kubeconfig: %w", err)
	}
	return atomicfile.Write(k.Kubeconfig, data, 0o600)
}
