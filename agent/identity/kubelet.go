package identity

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
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
func (k *Kubelet) Introduce(ctx context.Context, api API, cluster v1alpha1.ClusterSettings, through string) error {
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
	return k.writeKubeconfig(cluster, through, pair)
}

func kubeletOf(node string) holder {
	return holder{
		prefix: "drover-kubelet", node: node, signer: certificatesv1.KubeAPIServerClientKubeletSignerName,
		subject: pkix.Name{CommonName: v1alpha1.NodeUserPrefix + node, Organization: []string{v1alpha1.NodesGroup}},
	}
}

// store writes the pair where the kubelet looks for it and returns the path: as client-go's certificate.FileStore,
// which would bring the whole of client-go along, it has a file for each pair and a link to the current one.
func (k *Kubelet) store(cert, key []byte) (string, error) {
	pair := slices.Concat(bytes.TrimSpace(cert), []byte("\n"), key)
	if _, err := parsePair(pair); err != nil {
		return "", fmt.Errorf("the certificate that was issued does not fit the key: %w", err)
	}
	file := filepath.Join(k.CertDir, fmt.Sprintf("%s-%s.pem", kubeletPair, time.Now().Format("2006-01-02-15-04-05")))
	if err := atomicfile.Write(file, pair, 0o600); err != nil {
		return "", err
	}
	current := k.Pair()
	if err := os.Remove(current); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return current, os.Symlink(file, current)
}

func (k *Kubelet) writeKubeconfig(cluster v1alpha1.ClusterSettings, through, pair string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["drover"] = k.server(cluster, through)
	config.AuthInfos["kubelet"] = &clientcmdapi.AuthInfo{ClientCertificate: pair, ClientKey: pair}
	config.Contexts["kubelet"] = &clientcmdapi.Context{Cluster: "drover", AuthInfo: "kubelet"}
	config.CurrentContext = "kubelet"
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the kubelet's kubeconfig: %w", err)
	}
	_, err = atomicfile.WriteIfChanged(k.Kubeconfig, data, 0o600)
	return err
}

// Follow has the kubeconfig of a kubelet that was introduced, or has introduced itself, name another API server, or another way to
// it. The kubelet reads it when it starts.
func (k *Kubelet) Follow(cluster v1alpha1.ClusterSettings, through string) error {
	if _, err := os.Lstat(k.Kubeconfig); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return k.writeKubeconfig(cluster, through, k.Pair())
}

// Pair is the kubelet's certificate and its key in one PEM file: a link to those that it has now.
func (k *Kubelet) Pair() string { return filepath.Join(k.CertDir, kubeletPair+"-current.pem") }
