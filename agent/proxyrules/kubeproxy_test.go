package proxyrules

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/netspace"
)

var (
	four = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	both = append(four, netip.MustParsePrefix("fd00:10:96::/112"))
)

// inNamespace runs the rest of the test in a network namespace of its own, with nothing but a loopback that is up.
func inNamespace(t *testing.T) {
	t.Helper()
	netspace.Enter(t)
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cluster answers as the API server of a cluster with one Node and no Service does.
func cluster(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	kind, version := map[string]string{
		"services": "Service", "nodes": "Node", "endpointslices": "EndpointSlice", "servicecidrs": "ServiceCIDR",
	}[filepath.Base(r.URL.Path)], strings.Trim(strings.TrimPrefix(strings.TrimPrefix(filepath.Dir(r.URL.Path), "/apis"), "/api"), "/")
	node := map[string]any{
		"kind": "Node", "apiVersion": "v1", "metadata": map[string]any{"name": "a", "resourceVersion": "1"},
		"status": map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": "127.0.0.1"}}},
	}
	answer := func(what any) { _ = json.NewEncoder(w).Encode(what) }
	switch {
	case filepath.Base(r.URL.Path) == "a":
		answer(node)
	case kind == "":
		w.WriteHeader(http.StatusCreated) // an event
		answer(map[string]any{"kind": "Event", "apiVersion": "events.k8s.io/v1"})
	case r.URL.Query().Get("watch") == "":
		items := []any{}
		if kind == "Node" {
			items = append(items, node)
		}
		answer(map[string]any{"kind": kind + "List", "apiVersion": version, "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
	default:
		if kind == "Node" {
			answer(map[string]any{"type": "ADDED", "object": node})
		}
		answer(map[string]any{"type": "BOOKMARK", "object": map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]any{
			"resourceVersion": "1", "annotations": map[string]string{"k8s.io/initial-events-end": "true"},
		}}})
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		<-r.Context().Done()
	}
}

// proxy is kube-proxy in the test's namespace, with an API server to ask.
type proxy struct {
	t      *testing.T
	config string
	cmd    *exec.Cmd
}

func kubeProxy(t *testing.T, mode v1alpha1.ProxyMode) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(cluster), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	dir := t.TempDir()
	p := &proxy{t: t, config: filepath.Join(dir, "config.yaml")}
	for file, text := range map[string]string{
		filepath.Join(dir, "kubeconfig"): fmt.Sprintf(`{kind: Config, apiVersion: v1, clusters: [{name: c, cluster: {server: "http://%s"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`, listener.Addr()),
		p.config:                         fmt.Sprintf("kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nmode: %s\nhostnameOverride: a\noomScoreAdj: 0\nclientConnection: {kubeconfig: %s}\nconntrack: {maxPerCore: 0, min: 0}\n", mode, filepath.Join(dir, "kubeconfig")),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) start() {
	p.t.Helper()
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		p.t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to the directory that has kube-proxy")
	}
	log, err := os.Create(filepath.Join(filepath.Dir(p.config), "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(filepath.Join(dir, "kube-proxy"), "--config="+p.config)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proxy) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// log is the end of what kube-proxy said.
func (p *proxy) log() string {
	data, _ := os.ReadFile(filepath.Join(filepath.Dir(p.config), "log"))
	return string(data[max(0, len(data)-2000):])
}

// awaits waits until the kernel has what is to be there, or lacks what is to be missing.
func (p *proxy) awaits(mode v1alpha1.ProxyMode, services []netip.Prefix, want string) {
	p.t.Helper()
	var got string
	var failure error
	err := wait.PollUntilContextTimeout(p.t.Context(), 10*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		got, failure = Missing(ctx, mode, services)
		return failure == nil && got == want, nil
	})
	if err != nil {
		p.t.Fatalf("got %q and %v, want %q; kube-proxy said: %s", got, failure, want, p.log())
	}
}

func run(t *testing.T, command string) {
	t.Helper()
	fields := strings.Fields(command)
	if out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func TestWhatIsTakenFromKubeProxyIsNamed(t *testing.T) {
	for _, c := range []struct {
		mode   v1alpha1.ProxyMode
		faults []fault
	}{
		{v1alpha1.ProxyModeNFTables, []fault{
			{"nft flush ruleset", "the nftables table ip kube-proxy"},
			{"nft delete table ip6 kube-proxy", "the nftables table ip6 kube-proxy"},
			{"nft flush table ip kube-proxy", "the rules of the chain nat-prerouting in the nftables table ip kube-proxy"},
			{"nft flush chain ip kube-proxy services", "the rules of the chain services in the nftables table ip kube-proxy"},
		}},
		{v1alpha1.ProxyModeIPTables, []fault{
			{"iptables -t nat -F", "the way from PREROUTING to KUBE-SERVICES in the iptables table nat"},
			{"iptables -t nat -F KUBE-SERVICES", "the rules of the chain KUBE-SERVICES in the iptables table nat"},
			{"ip6tables -t nat -F OUTPUT", "the way from OUTPUT to KUBE-SERVICES in the ip6tables table nat"},
			{"iptables -F FORWARD", "the way from FORWARD to KUBE-FORWARD in the iptables table filter"},
			{"nft flush ruleset", "the way from PREROUTING to KUBE-SERVICES in the iptables table nat"},
		}},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			inNamespace(t)
			p := kubeProxy(t, c.mode)
			for _, f := range c.faults {
				p.awaits(c.mode, both, "")
				p.stop() // so that it does not mend what is to be seen
				run(t, f.command)
				if got, err := Missing(t.Context(), c.mode, both); got != f.want || err != nil {
					t.Errorf("%s: got %q, %v, want %q", f.command, got, err, f.want)
				}
				p.start() // upon which it writes everything
			}
			p.awaits(c.mode, both, "")
		})
	}
}

type fault struct{ command, want string }

func TestOnlyTheFamiliesOfServicesNeedRules(t *testing.T) {
	inNamespace(t)
	p := kubeProxy(t, v1alpha1.ProxyModeNFTables)
	p.awaits(v1alpha1.ProxyModeNFTables, both, "")
	run(t, "nft delete table ip6 kube-proxy")
	p.awaits(v1alpha1.ProxyModeNFTables, four, "")
	if got, err := Missing(t.Context(), v1alpha1.ProxyModeNone, both); got != "" || err != nil {
		t.Errorf("without kube-proxy got %q, %v", got, err)
	}
}

// livez is what kube-proxy answers in the test's namespace, which an HTTP client's own goroutines are not in.
func livez() ([]byte, error) {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:10256", 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET /livez HTTP/1.0\r\n\r\n")); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

func TestARealKubeProxySaysThatItWroteItsRules(t *testing.T) {
	var body []byte
	t.Run("in a namespace", func(t *testing.T) {
		inNamespace(t)
		p := kubeProxy(t, v1alpha1.ProxyModeNFTables)
		p.awaits(v1alpha1.ProxyModeNFTables, both, "")
		if err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
			var err error
			body, err = livez()
			return err == nil && strings.Contains(string(body), "IPv6"), nil
		}); err != nil {
			t.Fatalf("got %q; kube-proxy said: %s", body, p.log())
		}
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	defer server.Close()
	if got, err := health.ProxyWrote(t.Context(), server.URL); err != nil || fmt.Sprint(got) != "[IPv4 IPv6]" {
		t.Errorf("got %v, %v of %s", got, err, body)
	}
}
