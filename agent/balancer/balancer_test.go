package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

// hasty are options with which a dead server is left after two seconds.
func hasty(check func(context.Context, string) error) Options {
	return Options{Check: check, Log: logr.Discard(), Every: 200 * time.Millisecond, Timeout: time.Second, Calm: time.Second}
}

// serve has a balancer serve on a port of its own, which is returned.
func serve(t *testing.T, b *Balancer) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- b.Serve(ctx, listener) }()
	go func() { b.Run(ctx); ended <- nil }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return listener.Addr().String()
}

func (b *Balancer) connections() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]int{}
	for _, s := range b.servers {
		counts[s.address] = len(s.conns)
	}
	return counts
}

func eventually(t *testing.T, limit time.Duration, what string, is func() bool) (took time.Duration) {
	t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func TestClientsGoOnWhenTheirAPIServerHangsOrDiesAndGoBackToItAfterwards(t *testing.T) {
	own := apiserver.Shared(t)
	preferred := own.StartTwin(t, "127.0.0.2")
	clients := map[string]*kubernetes.Clientset{}
	for address, config := range map[string]*rest.Config{own.Address(): own.Config, preferred.Address: preferred.Config} {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		clients[address] = client
	}
	b := New(hasty(func(ctx context.Context, address string) error {
		return clients[address].RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}))
	b.SetServers([]string{preferred.Address, own.Address()})
	config := rest.CopyConfig(own.Config)
	config.Host, config.ServerName = "https://"+serve(t, b), "127.0.0.1"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	answers := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return err == nil
	}
	at := func(address string) func() bool {
		return func() bool {
			if !answers() {
				return false
			}
			counts := b.connections()
			return counts[address] > 0 && sum(counts) == counts[address]
		}
	}
	eventually(t, 30*time.Second, "its clients are at the preferred one", at(preferred.Address))

	watch, err := client.CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	signal(t, preferred.PID, syscall.SIGSTOP)
	took := eventually(t, 30*time.Second, "the clients of a server that hangs go on", answers)
	t.Logf("went on %s after the server hung, with checks every %s", took.Round(time.Millisecond), b.opts.Every)
	eventually(t, 30*time.Second, "nothing is left at the one that hangs", at(own.Address()))
	eventually(t, 30*time.Second, "a watch at the one that hangs has ended", func() bool {
		for {
			select {
			case _, open := <-watch.ResultChan():
				if !open {
					return true
				}
			default:
				return false
			}
		}
	})
	signal(t, preferred.PID, syscall.SIGCONT)
	eventually(t, 30*time.Second, "they go back", at(preferred.Address))

	signal(t, preferred.PID, syscall.SIGKILL)
	took = eventually(t, 30*time.Second, "the clients of a server that died go on", answers)
	t.Logf("went on %s after the server was killed", took.Round(time.Millisecond))
	eventually(t, 30*time.Second, "they are at the other one", at(own.Address()))
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// echo answers with its own address.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(listener.Addr().String()))
			_ = c.Close()
		}
	}()
	return listener.Addr().String()
}

func reach(t *testing.T, address string) string {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	n, _ := c.Read(answer)
	return string(answer[:n])
}

func TestNobodyIsRefusedWhileNoServerIsWell(t *testing.T) {
	there := echo(t)
	b := New(hasty(func(context.Context, string) error { return errors.New("not well") }))
	b.SetServers([]string{"127.0.0.1:1", there})
	address := serve(t, b)
	eventually(t, 10*time.Second, "all are found ill", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.wellLocked() == nil
	})
	if got := reach(t, address); got != there {
		t.Errorf("reached %q, want %s", got, there)
	}
}

func TestTheConnectionsOfAnIllServerEndWhereAnotherOneIsWell(t *testing.T) {
	one, two := echo(t), echo(t)
	b := New(Options{Log: logr.Discard(), Timeout: 10 * time.Second, Calm: time.Minute})
	b.SetServers([]string{one, two})
	c, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	servers, ill := b.all(), errors.New("ill")
	b.heard(servers[0], ill)
	if got := b.order(); got[0] != servers[1] || got[1] != servers[0] {
		t.Errorf("the one that is ill is tried first")
	}
	b.heard(servers[1], ill)
	b.settle(time.Now())
	if n := b.connections()[one]; n != 1 {
		t.Errorf("%d connections are left where no server is better", n)
	}
	b.heard(servers[1], nil)
	b.settle(time.Now())
	if n := b.connections()[one]; n != 0 {
		t.Errorf("%d connections are left at the one that is ill", n)
	}
}

func TestAServerIsComeBackToAfterACalmAndNotByAllAtOnce(t *testing.T) {
	b := New(Options{Log: logr.Discard(), Calm: time.Minute})
	b.SetServers([]string{"a", "b"})
	servers := b.all()
	start := time.Now()
	ill := errors.New("ill")
	b.heard(servers[0], ill)
	b.settle(start)
	if b.current != servers[1] {
		t.Fatalf("connections go to %+v", b.current)
	}
	b.heard(servers[0], nil)
	b.settle(start)
	due := b.back.at.Sub(start)
	if due < time.Minute || due > 2*time.Minute {
		t.Errorf("it is come back to after %s", due)
	}
	spread := map[time.Duration]bool{}
	for range 20 {
		b.heard(servers[0], ill)
		b.settle(start)
		b.heard(servers[0], nil)
		b.settle(start)
		spread[b.back.at.Sub(start)] = true
	}
	if len(spread) < 10 {
		t.Errorf("20 nodes come back at %d times", len(spread))
	}
	b.heard(servers[0], ill) // again, before its time
	b.settle(start.Add(due))
	b.heard(servers[0], nil)
	b.settle(start.Add(due))
	b.settle(b.back.at.Add(-time.Nanosecond))
	if b.current != servers[1] {
		t.Error("it is come back to although it was ill meanwhile")
	}
	b.settle(b.back.at)
	if b.current != servers[0] {
		t.Error("it is not come back to")
	}
}

func TestAddressesThatAreGoneAreNotUsed(t *testing.T) {
	one, two := echo(t), echo(t)
	b := New(hasty(func(context.Context, string) error { return nil }))
	b.SetServers([]string{one})
	address := serve(t, b)
	if got := reach(t, address); got != one {
		t.Fatalf("reached %q", got)
	}
	b.SetServers([]string{two})
	if got := reach(t, address); got != two {
		t.Errorf("reached %q, want the one that is left", got)
	}
}

func TestEachNodePrefersOneServerAndAllServersHaveTheirNodes(t *testing.T) {
	addresses := []string{"10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.3:6443"}
	firsts := map[string]int{}
	for i := range 300 {
		node := fmt.Sprintf("workers-%d", i)
		order := Order(node, addresses)
		if again := Order(node, []string{addresses[2], addresses[0], addresses[1], addresses[0]}); !slices.Equal(order, again) {
			t.Fatalf("%s: %v and %v", node, order, again)
		}
		firsts[order[0]]++
	}
	for _, address := range addresses {
		if n := firsts[address]; n < 60 || n > 140 {
			t.Errorf("%s is the first of %d of 300 nodes", address, n)
		}
	}
}
