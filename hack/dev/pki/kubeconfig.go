package pki

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a kubeconfig to path for the identity that was issued as name. Everything is embedded, so that
// the file can be copied.
func Kubeconfig(path, dir, name, server string) error {
	read := func(file string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, file)) }
	ca, err := read("ca.crt")
	if err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	cert, err := read(name + ".crt")
	if err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	key, err := read(name + ".key")
	if err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"drover": {Server: server, CertificateAuthorityData: ca}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: cert, ClientKeyData: key}},
		Contexts:       map[string]*clientcmdapi.Context{"drover": {Cluster: "drover", AuthInfo: name, Namespace: "default"}},
		CurrentContext: "drover",
	}
	if err := clientcmd.WriteToFile(config, path); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return nil
}
