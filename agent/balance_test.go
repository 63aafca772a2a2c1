package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// several has the API server's name stand for two addresses, with a server at each, and the balancer run.
func several(t *testing.T, a *Agent) *apiserver.Twin {
	t.Helper()
	twin := apiserver.Shared(t).StartTwin(t, "127.0.0.2")
	a.bootstrap.Spec.Cluster = serving(t, a.identityPaths())
	a.bootstrap.Spec.Cluster.Server = strings.Replace(a.bootstrap.Spec.Cluster.Server, "127.0.0.1", "localhost", 1)
	a.system.LookupHost = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.2")}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.opts.Balancer = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	user(t, a.kubelet().Pair(), apiserver.Shared(t).ClientCA, v1alpha1.NodeUserPrefix+"node-1", v1alpha1.NodesGroup)
	return twin
}

// balanced runs the balancer until the test's end, or until what it returns is called.
func balanced(t *testing.T, a *Agent) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.balance(ctx) }()
	done := false
	end = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return end
}

func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func TestTheComponentsAreBalancedBetweenSeveralAPIServers(t *testing.T) {
	a, _ := machine(t)
	twin := several(t, a)
	components := standIn(t, a)
	kubelet, proxy := components.pid(v1alpha1.ComponentKubelet), components.pid(v1alpha1.ComponentKubeProxy)
	end := balanced(t, a)
	names := func(path string) bool {
		config, err := clientcmd.BuildConfigFromFlags("", path)
		return err == nil && strings.TrimSuffix(config.Host, "/") == "https://"+a.opts.Balancer && config.ServerName == "localhost"
	}
	within(t, 30*time.Second, "the components are sent to the balancer", func() bool {
		k, p := components.pid(v1alpha1.ComponentKubelet), components.pid(v1alpha1.ComponentKubeProxy)
		return names(a.paths.KubeletKubeconfig) && names(a.paths.AgentKubeconfig) && k > 0 && k != kubelet && p > 0 && p != proxy
	})
	config, err := clientcmd.BuildConfigFromFlags("", a.paths.KubeletKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	asKubelet, err := kubeapi.New(config)
	if err != nil {
		t.Fatal(err)
	}
	asAgent, err := kubeapi.New(a.configOf(a.present()))
	if err != nil {
		t.Fatal(err)
	}
	answered := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, kubelet := asKubelet.HasNode(ctx, "node-1")
		_, agent := asAgent.ListNodeAgents(ctx, "node-1")
		return kubelet == nil && agent == nil
	}
	within(t, 30*time.Second, "both are answered", answered)
	if err := syscall.Kill(twin.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(twin.PID, syscall.SIGCONT) }) // or it would not end
	within(t, 30*time.Second, "both are answered while one server hangs", answered)
	within(t, 30*time.Second, "and from then on", answered)

	end()
	a.system.LookupHost = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no resolver") }
	a.served.server, a.served.addresses = server{}, addresses{}
	a.balancing.Store(nil)
	if got := a.through(); got != a.opts.Balancer {
		t.Fatalf("the components of a machine that boots without a resolver are sent to %q", got)
	}
	balanced(t, a)
	within(t, 30*time.Second, "both are answered again", answered)
}

func TestAnAddressOfTheBalancerThatIsTakenIsNamedAndDoneWithout(t *testing.T) {
	a, _ := machine(t)
	several(t, a)
	standIn(t, a)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", a.opts.Balancer)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	balanced(t, a)
	within(t, 30*time.Second, "it is named", func() bool {
		found := a.serverFindings()
		return len(found) == 1 && strings.Contains(found[0].Message, "nothing can serve them on "+a.opts.Balancer)
	})
	config, err := clientcmd.BuildConfigFromFlags("", a.paths.KubeletKubeconfig)
	if err != nil || config.Host != a.present().URL {
		t.Errorf("the kubelet is sent to %+v, %v", config, err)
	}
}

func TestOneAPIServerIsSpokenToDirectly(t *testing.T) {
	a, _ := machine(t)
	asked := make(chan struct{}, 10)
	a.system.LookupHost = func(context.Context, string) ([]netip.Addr, error) {
		asked <- struct{}{}
		return []netip.Addr{netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("fd00::1")}, nil
	}
	a.moved = make(chan struct{}, 1)
	balanced(t, a)
	<-asked
	a.moved <- struct{}{}
	<-asked // so that the first look was acted on
	if a.through() != "" || a.balancing.Load() != nil {
		t.Error("there is a balancer for the two addresses of one server")
	}
}

// The other API servers say where they are in the cluster itself.
func TestTheClustersOtherAPIServersAreFoundAndThoseThatAnswerUsed(t *testing.T) {
	a, _ := machine(t)
	a.bootstrap.Spec.Cluster = serving(t, a.identityPaths())
	api, err := kubeapi.New(a.configOf(a.present()))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(apiserver.Shared(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(apiserver.Shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "others", Namespace: metav1.NamespaceDefault, Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(int32(at))}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.2"}}},
	}
	if slice, err = client.DiscoveryV1().EndpointSlices(slice.Namespace).Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.DiscoveryV1().EndpointSlices(slice.Namespace).Delete(context.WithoutCancel(t.Context()), slice.Name, metav1.DeleteOptions{})
	})
	answers := func(_ context.Context, address string) error {
		if strings.HasPrefix(address, "192.0.2.2:") {
			return nil
		}
		return errors.New("nobody is there")
	}
	alone := addresses{URL: a.present().URL, At: []string{apiserver.Shared(t).Address()}}
	if got := a.withOthers(t.Context(), alone, answers); got.Several || len(got.Others) > 0 {
		t.Errorf("an agent without an identity found %+v", got)
	}
	a.api.Store(api)
	within(t, 30*time.Second, "there is one server", func() bool { // the list is from a cache
		servers, err := api.APIServers(t.Context())
		return err == nil && len(servers) == 1
	})
	if got := a.withOthers(t.Context(), alone, answers); got.Several || len(got.Others) > 0 {
		t.Errorf("what stands before a cluster's only server was taken for another one: %+v", got)
	}
	slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"192.0.2.1"}})
	if _, err := client.DiscoveryV1().EndpointSlices(slice.Namespace).Update(t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	var got addresses
	within(t, 30*time.Second, "the other one is found", func() bool {
		got = a.withOthers(t.Context(), alone, answers)
		return got.Several
	})
	if want := []string{"192.0.2.2:" + port}; !slices.Equal(got.Others, want) {
		t.Errorf("found %v, want %v", got.Others, want)
	}
	if order := got.order("node-1"); !slices.Equal(order, []string{alone.At[0], "192.0.2.2:" + port}) {
		t.Errorf("they are used in the order %v", order)
	}
	known := addresses{URL: alone.URL, At: alone.At, Others: got.Others, Several: true}
	if got := a.withOthers(t.Context(), known, func(context.Context, string) error { return errors.New("away") }); !slices.Equal(got.Others, known.Others) {
		t.Errorf("one that is known and does not answer for a while is lost: %v", got.Others)
	}
}

// The addresses of a name may be others each time, and an agent that has no certificate yet asks every five seconds.
func TestConnectionsToServersThatNobodyAsksAnyMoreEnd(t *testing.T) {
	a, _ := machine(t)
	a.bootstrap.Spec.Cluster = serving(t, a.identityPaths())
	at, other := apiserver.Shared(t).Address(), apiserver.Shared(t).StartTwin(t, "127.0.0.2")
	var open atomic.Int32
	check, now := newServerCheck(a), time.Now()
	check.now = func() time.Time { return now }
	check.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			open.Add(1)
			conn = &counted{Conn: conn, ended: sync.OnceFunc(func() { open.Add(-1) })}
		}
		return conn, err
	}
	asks := func(addresses ...string) {
		t.Helper()
		for _, address := range addresses {
			if err := check.ask(t.Context(), address); err != nil {
				t.Fatal(err)
			}
		}
	}
	asks(at, other.Address, at, other.Address)
	if n := open.Load(); n != 2 {
		t.Fatalf("%d connections to two servers", n)
	}
	now = now.Add(unasked + time.Second)
	asks(at)
	within(t, 30*time.Second, "one connection is left", func() bool { return open.Load() == 1 && len(check.asked) == 1 })
	a.served.server.URL += "/"
	asks(at)
	within(t, 30*time.Second, "that to another server takes its place", func() bool { return open.Load() == 1 && len(check.asked) == 1 })
	if err := os.Remove(a.identityPaths().Pair()); err != nil {
		t.Fatal(err)
	}
	check.asked = map[string]*askedServer{}
	asks(at, at)
	within(t, 30*time.Second, "none of an agent without a certificate is left", func() bool { return open.Load() <= 1 && len(check.asked) == 0 })
}

// counted is a connection whose end is counted.
type counted struct {
	net.Conn
	ended func()
}

func (c *counted) Close() error {
	c.ended()
	return c.Conn.Close()
}

func TestTheAddressesOfAnotherServerAreNotTaken(t *testing.T) {
	a, _ := machine(t)
	there := addresses{URL: "https://one:6443", At: []string{"10.0.0.1:6443", "10.0.0.2:6443"}, Several: true}
	a.keepAddresses(there)
	if got := a.knownAddresses(server{URL: "https://one:6443"}); !slices.Equal(got.At, there.At) || !got.Several {
		t.Errorf("got %+v", got)
	}
	two := a.knownAddresses(server{URL: "https://two"})
	if len(two.At) > 0 || two.Several {
		t.Errorf("got %+v", two)
	}
	if got := two.order("node-1"); !slices.Equal(got, []string{"two:443"}) {
		t.Errorf("where nothing is known, %v is used, want the name", got)
	}
}
