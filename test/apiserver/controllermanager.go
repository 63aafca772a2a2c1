package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// StartControllerManager starts a real kube-controller-manager that runs the named controllers, such as
// "garbage-collector-controller", or all of its own when none is named. It signs approved certificate requests with
// the server's ClientCA and lives until the test, or for a shared Server the test binary, ends.
func (s *Server) StartControllerManager(tb testing.TB, controllers ...string) {
	tb.Helper()
	manager, err := s.launchControllerManager(controllers...)
	if err != nil {
		tb.Fatal(err)
	}
	if s != shared.server {
		tb.Cleanup(manager.stop)
	}
}

// LaunchControllerManager is StartControllerManager for a program that is no test: what it starts ends with the Server.
func (s *Server) LaunchControllerManager(controllers ...string) error {
	_, err := s.launchControllerManager(controllers...)
	return err
}

func (s *Server) launchControllerManager(controllers ...string) (*process, error) {
	if _, err := findAssets("kube-controller-manager"); err != nil {
		return nil, err
	}
	kubeconfig, err := s.KubeconfigFile()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if len(controllers) == 0 {
		controllers = []string{"*"}
	}
	log := filepath.Join(s.Dir, fmt.Sprintf("kube-controller-manager-%d.log", port))
	manager, err := startProcess(log, filepath.Join(s.assets, "kube-controller-manager"),
		"--kubeconfig="+kubeconfig,
		"--controllers="+strings.Join(controllers, ","),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--leader-elect=false",
		"--cluster-signing-cert-file="+s.ClientCA.CertFile(),
		"--cluster-signing-key-file="+s.ClientCA.KeyFile(),
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
	if err != nil {
		return nil, err
	}
	s.managers = append(s.managers, manager)
	if err := waitHealthy(port, manager.done); err != nil {
		tail, _ := os.ReadFile(log)
		return nil, fmt.Errorf("start kube-controller-manager: %w\n%s", err, tail[max(0, len(tail)-2000):])
	}
	return manager, nil
}

// KubeconfigFile writes the administrator's kubeconfig below Dir and returns its path.
func (s *Server) KubeconfigFile() (string, error) {
	path := filepath.Join(s.Dir, "admin.kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: s.Config.Host, CertificateAuthorityData: s.Config.CAData}
	if !strings.Contains(s.Config.Host, "://") {
		config.Clusters["test"].Server = "https://" + s.Config.Host
	}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: s.Config.CertData, ClientKeyData: s.Config.KeyData,
	}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	return path, clientcmd.WriteToFile(*config, path)
}

// waitHealthy waits until the process on that port says it is well, or has ended.
func waitHealthy(port int, done <-chan struct{}) error {
	insecure := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its certificate is self-signed, and it is our own child
		DisableKeepAlives: true,
	}}
	return wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, startTimeout, true,
		func(context.Context) (bool, error) {
			select {
			case <-done:
				return false, fmt.Errorf("it ended at once")
			default:
			}
			response, err := insecure.Get(fmt.Sprintf("https://127.0.0.1:%d/healthz", port))
			if err != nil {
				return false, nil //nolint:nilerr // not up yet
			}
			return response.StatusCode == http.StatusOK, response.Body.Close()
		})
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, err := netip.ParseAddrPort(listener.Addr().String())
	return int(address.Port()), errors.Join(err, listener.Close())
}
