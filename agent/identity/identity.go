package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/drover-dev/drover/agent/trust"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// Identity is a valid certificate on disk.
type Identity struct {
	Paths
	// Node is the node whose agent this is.
	Node string
	// NotBefore and NotAfter bound the certificate's life.
	NotBefore, NotAfter time.Time
}

// ErrNone says that there is no identity on disk.
var ErrNone = errors.New("the agent has no identity yet")

// Load reads the identity of a node. It returns ErrNone when there is none, and an error that wraps it when there is
// one that is of no use any more.
func Load(paths Paths, node string, now time.Time) (*Identity, error) {
	data, err := os.ReadFile(paths.Pair())
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("read the agent's certificate: %w", err)
	}
	cert, err := parsePair(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is unreadable: %w", ErrNone, paths.Pair(), err)
	}
	if cert.Subject.CommonName != v1alpha1.AgentUserPrefix+node {
		return nil, fmt.Errorf("%w: %s is for %s, not for node %s", ErrNone, paths.Pair(), cert.Subject.CommonName, node)
	}
	if now.After(cert.NotAfter) {
		return nil, fmt.Errorf("%w: %s: %s", ErrNone, paths.Pair(), trust.OutOfTime(cert, now))
	}
	return &Identity{Paths: paths, Node: node, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}, nil
}

// Overdue says whether the certificate should have been renewed long ago: less than a tenth of its life is left, where
// the Renewer begins with more than a fifth.
func (id *Identity) Overdue(now time.Time) bool {
	return id.NotAfter.Sub(now) < id.NotAfter.Sub(id.NotBefore)/10
}

func parsePair(data []byte) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

// save writes the certificate with its key as one file, after checking that they belong together and to the node.
func save(paths Paths, node string, cert []byte, key *ecdsa.PrivateKey) (*Identity, error) {
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	pair := slices.Concat(bytes.TrimSpace(cert), []byte("\n"), encoded)
	parsed, err := parsePair(pair)
	if err != nil {
		return nil, fmt.Errorf("the certificate that was issued does not fit the key: %w", err)
	}
	if parsed.Subject.CommonName != v1alpha1.AgentUserPrefix+node {
		return nil, fmt.Errorf("the certificate that was issued is for %q", parsed.Subject.CommonName)
	}
	if err := atomicfile.Write(paths.Pair(), pair, 0o600); err != nil {
		return nil, err
	}
	return &Identity{Paths: paths, Node: node, NotBefore: parsed.NotBefore, NotAfter: parsed.NotAfter}, nil
}

// WriteKubeconfig makes the kubeconfig and the CA file say what the cluster settings say. Both name files, so a
// renewed certificate needs no new kubeconfig. through is host and port of what passes connections on to the API server, empty for
// nothing.
func (p Paths) WriteKubeconfig(cluster v1alpha1.ClusterSettings, through string) error {
	if _, err := atomicfile.WriteIfChanged(p.ServerCA(), []byte(cluster.ServerCA), 0o644); err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["drover"] = p.server(cluster, through)
	config.AuthInfos["agent"] = &clientcmdapi.AuthInfo{ClientCertificate: p.Pair(), ClientKey: p.Pair()}
	config.Contexts["agent"] = &clientcmdapi.Context{Cluster: "drover", AuthInfo: "agent"}
	config.CurrentContext = "agent"
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the agent's kubeconfig: %w", err)
	}
	_, err = atomicfile.WriteIfChanged(p.Kubeconfig(), data, 0o600)
	return err
}

// server is how a kubeconfig names the API server. Its certificate is for the host that the settings name, wherever a connection goes.
func (p Paths) server(cluster v1alpha1.ClusterSettings, through string) *clientcmdapi.Cluster {
	c := &clientcmdapi.Cluster{Server: cluster.Server, CertificateAuthority: p.ServerCA()}
	if u, err := url.Parse(cluster.Server); through != "" && err == nil {
		c.TLSServerName = u.Hostname()
		u.Host = through
		c.Server = u.String()
	}
	return c
}

// RESTConfig authenticates with the certificate, which client-go reads again when it changes. The authority is the settings' own: the
// file that has one is for kube-proxy, and another generation's before it is known whether that server answers.
func (p Paths) RESTConfig(cluster v1alpha1.ClusterSettings) *rest.Config {
	return &rest.Config{
		Host:            cluster.Server,
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(cluster.ServerCA), CertFile: p.Pair(), KeyFile: p.Pair()},
		QPS:             20,
		Burst:           40,
	}
}

// TokenConfig authenticates with a join token.
func TokenConfig(cluster v1alpha1.ClusterSettings, token string) *rest.Config {
	return &rest.Config{
		Host:            cluster.Server,
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(cluster.ServerCA)},
	}
}
