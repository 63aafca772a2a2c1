package world

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// TestEtcdAnswersTheAPIServerAlone: another user of the host, and a page in somebody's browser, reach the loopback
// address as well.
func TestEtcdAnswersTheAPIServerAlone(t *testing.T) {
	l := layout.Layout{Repository: t.TempDir()}
	if err := writePKI(l); err != nil {
		t.Fatal(err)
	}
	url := startEtcd(t, l)
	key, err := prober(l, Etcd)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	if err := wait.PollUntilContextTimeout(t.Context(), pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		last = probe(ctx, key, url+"/health")
		return last == nil, nil
	}); err != nil {
		t.Fatalf("etcd does not answer the API server's certificate: %v", last)
	}
	stranger, err := prober(l, APIServer)
	if err != nil {
		t.Fatal(err)
	}
	clusters, err := tls.LoadX509KeyPair(l.PKI("admin.crt"), l.PKI("admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	node := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // An attacker would not check either.
		Certificates:       []tls.Certificate{clusters},
	}}}
	for reason, err := range map[string]error{
		"plain HTTP":                         probe(t.Context(), stranger, strings.Replace(url, "https:", "http:", 1)+"/health"),
		"no certificate":                     probe(t.Context(), stranger, url+"/health"),
		"a certificate of the cluster's own": probe(t.Context(), node, url+"/health"),
	} {
		if err == nil {
			t.Errorf("etcd answered %s", reason)
		}
	}
}

// startEtcd starts etcd as the world does, but on free ports, and returns the URL for clients.
func startEtcd(t *testing.T, l layout.Layout) string {
	t.Helper()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run this test with make test")
	}
	client, peer := freePort(t), freePort(t)
	ports := strings.NewReplacer(strconv.Itoa(layout.EtcdPort), client, strconv.Itoa(layout.EtcdPeerPort), peer)
	var args []string
	for _, arg := range etcdArgs(l) {
		if !strings.Contains(arg, l.Root()) {
			arg = ports.Replace(arg)
		}
		args = append(args, arg)
	}
	var log bytes.Buffer
	etcd := exec.Command(filepath.Join(assets, Etcd), args...)
	etcd.Stderr = &log
	etcd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with the tests, however they end
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = etcd.Process.Kill()
		_ = etcd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return fmt.Sprintf("https://127.0.0.1:%s", client)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}
