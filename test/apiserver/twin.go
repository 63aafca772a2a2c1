package apiserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Twin is another API server of the same cluster, with the same certificates.
type Twin struct {
	// Config is the administrator's.
	Config *rest.Config
	// Address is its host and port: another loopback address, and the same port as the Server's own.
	Address string
	// PID is its process.
	PID int
}

// StartTwin starts another API server beside the Server's own, on a loopback address. It ends with the test.
func (s *Server) StartTwin(tb testing.TB, ip string) *Twin {
	tb.Helper()
	args, err := s.arguments()
	if err != nil {
		tb.Fatal(err)
	}
	host, port, err := net.SplitHostPort(s.Address())
	if err != nil {
		tb.Fatal(err)
	}
	log := filepath.Join(s.Dir, "kube-apiserver-"+ip+".log")
	started, err := startProcess(log, args[0], append(args[1:], "--bind-address="+ip, "--endpoint-reconciler-type=none")...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(started.stop)
	twin := &Twin{Config: rest.CopyConfig(s.Config), Address: net.JoinHostPort(ip, port), PID: started.command.Process.Pid}
	twin.Config.Host, twin.Config.ServerName = "https://"+twin.Address, host // which is what its certificate is for
	client, err := kubernetes.NewForConfig(twin.Config)
	if err != nil {
		tb.Fatal(err)
	}
	ready := func(ctx context.Context) (bool, error) {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	}
	if err := wait.PollUntilContextTimeout(tb.Context(), 100*time.Millisecond, startTimeout, true, ready); err != nil {
		tail, _ := os.ReadFile(log)
		tb.Fatalf("start another API server: %v\n%s", err, tail[max(0, len(tail)-2000):])
	}
	return twin
}

// Address is the host and port of the Server's own API server.
func (s *Server) Address() string {
	if u, err := url.Parse(s.Config.Host); err == nil && u.Host != "" {
		return u.Host
	}
	return s.Config.Host
}

// arguments are those that the Server's own API server was started with, the program first: envtest tells nobody.
func (s *Server) arguments() ([]string, error) {
	_, port, _ := strings.Cut(s.Address(), ":")
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, path := range processes {
		line, _ := os.ReadFile(path) // it may have ended meanwhile
		args := strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
		if filepath.Base(args[0]) != "kube-apiserver" || !slices.Contains(args, "--secure-port="+port) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if err == nil && strings.Contains(string(status), "PPid:\t"+strconv.Itoa(os.Getpid())+"\n") {
			return args, nil
		}
	}
	return nil, fmt.Errorf("no API server that this test started serves %s", s.Address())
}
