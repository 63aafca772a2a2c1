package network

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"k8s.io/apimachinery/pkg/util/wait"
)

func follower() *Follower {
	return &Follower{
		PodCIDRs: []netip.Prefix{p("10.244.0.0/16")}, Reserved: []netip.Prefix{p("10.96.0.0/16"), p("10.99.0.1/32")},
		Kernel: NewKernel(), Log: logr.Discard(),
	}
}

func follow(t *testing.T, f *Follower, nodes []Node) (trouble string) {
	t.Helper()
	f.SetNodes(nodes)
	trouble, err := f.apply()
	if err != nil {
		t.Fatal(err)
	}
	return trouble
}

func TestAFollowerHasARouteToEveryNodesPods(t *testing.T) {
	inNamespace(t)
	f := follower()
	if f.Ready() == nil {
		t.Error("it is ready before it knows any Node")
	}
	nodes := slices.Concat(three()[1:], []Node{node("d", "10.99.0.4", "10.244.3.0/24")})
	follow(t, f, nodes)
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3 10.244.3.0/24 via 10.99.0.4]", routes(t)); diff != "" {
		t.Errorf("every node has a route (-want +got):\n%s", diff)
	}
	nodes = nodes[1:]
	nodes[0].Addresses = []netip.Addr{a("10.99.0.7")}
	follow(t, f, nodes)
	if diff := cmp.Diff("[10.244.2.0/24 via 10.99.0.7 10.244.3.0/24 via 10.99.0.4]", routes(t)); diff != "" {
		t.Errorf("a node that moved has its new address, one that went has no route (-want +got):\n%s", diff)
	}
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

func TestAFollowerRoutesNothingThatIsNoPodsAndGoesOnWithoutWhatIsOutOfReach(t *testing.T) {
	inNamespace(t)
	f := follower()
	nodes := slices.Concat(three()[1:], []Node{
		node("far", "192.0.2.1", "10.244.9.0/24"), node("lies", "10.99.0.5", "10.96.0.0/24"), node("lies too", "10.99.0.6", "0.0.0.0/0"),
	})
	if trouble := follow(t, f, nodes); trouble == "" {
		t.Error("it does not try again for a node that is out of reach")
	}
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("only nodes on the segment with ranges of pods have routes (-want +got):\n%s", diff)
	}
	if err := f.Ready(); err != nil {
		t.Errorf("one node out of reach makes the follower unready: %v", err)
	}
	want := []string{
		"far (10.244.9.0/24 via 192.0.2.1: its address is on no link of this machine)",
		"lies (10.96.0.0/24: it overlaps 10.96.0.0/16, which is Services' or the API server's)",
		"lies too (0.0.0.0/0: it overlaps 10.96.0.0/16, which is Services' or the API server's)",
	}
	if diff := cmp.Diff(want, f.Unrouted()); diff != "" {
		t.Errorf("what has no route is named (-want +got):\n%s", diff)
	}
	if follow(t, f, nodes[:2]); len(f.Unrouted()) != 0 {
		t.Errorf("%v are named still", f.Unrouted())
	}
}

func TestAFollowerKeepsTheAPIServersAddressesFromNodes(t *testing.T) {
	inNamespace(t)
	f := follower()
	f.SetNodes(three()[1:], p("10.244.1.7/32"))
	if _, err := f.apply(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("a range that holds the API server's address has no route (-want +got):\n%s", diff)
	}
	f.SetNodes(three()[1:], p("192.0.2.1/32"))
	if _, err := f.apply(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("once the API server has another address, it has one (-want +got):\n%s", diff)
	}
}

func TestAFollowerThatEndsRemovesItsRoutesAndNoOthers(t *testing.T) {
	inNamespace(t)
	theirs := &netlink.Route{Dst: ipNet(p("10.244.7.0/24")), Gw: net.IPv4(10, 99, 0, 7)}
	if err := netlink.RouteAdd(theirs); err != nil {
		t.Fatal(err)
	}
	f := follower()
	inside, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inside.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := netns.Set(inside); err != nil {
			ended <- err
			return
		}
		ended <- f.Run(ctx)
	}()
	f.SetNodes(three()[1:])
	if err := wait.PollUntilContextTimeout(ctx, time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return f.Ready() == nil, nil
	}); err != nil {
		t.Fatalf("it is never ready: %v", f.Ready())
	}
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := routes(t); got != "[]" {
		t.Errorf("%s are left", got)
	}
	left, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: theirs.Dst}, netlink.RT_FILTER_DST)
	if err != nil || len(left) != 1 {
		t.Errorf("someone else's route: %v, %v", left, err)
	}
}

// A follower of before was killed: what it made is taken over, and what became stale goes.
func TestAFollowerTakesOverWhatAnEarlierOneLeft(t *testing.T) {
	inNamespace(t)
	follow(t, follower(), three()[1:])
	f := follower()
	if _, err := f.apply(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("before it knows the Nodes it changes nothing (-want +got):\n%s", diff)
	}
	follow(t, f, three()[1:2])
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2]", routes(t)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}
