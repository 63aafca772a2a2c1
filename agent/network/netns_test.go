package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// inNamespace runs the rest of the test on a thread in a network namespace of its own, which has no name and is gone
// with the thread's return; a link "eth0" there has 10.99.0.1/24.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	inside, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(before); err != nil {
			t.Error(err) // the thread stays locked and dies with the goroutine
			return
		}
		_, _ = before.Close(), inside.Close()
		runtime.UnlockOSThread()
	})
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}
	for _, err := range []error{
		netlink.LinkAdd(link),
		netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 99, 0, 1), Mask: net.CIDRMask(24, 32)}}),
		netlink.LinkSetUp(link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func manager(t *testing.T) *Manager {
	return &Manager{StateDir: t.TempDir(), CNIDir: t.TempDir(), LeaseDir: t.TempDir(), Kernel: NewKernel(), Log: logr.Discard()}
}

func config() Config {
	return Config{Node: "a", PodCIDRs: []netip.Prefix{p("10.244.0.0/16")}, MTU: 1500}
}

func three() []Node {
	return []Node{node("a", "10.99.0.1", "10.244.0.0/24"), node("b", "10.99.0.2", "10.244.1.0/24"), node("c", "10.99.0.3", "10.244.2.0/24")}
}

func routes(t *testing.T) string {
	t.Helper()
	have, err := NewKernel().Routes()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(have)
}

func apply(t *testing.T, m *Manager) {
	t.Helper()
	if err := m.Apply(); err != nil {
		t.Fatal(err)
	}
}

func TestRoutesFollowTheNodes(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("every other node has a route (-want +got):\n%s", diff)
	}
	moved := three()[:2]
	moved[1].Addresses = []netip.Addr{a("10.99.0.7")}
	m.SetNodes(moved)
	apply(t, m)
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.7]", routes(t)); diff != "" {
		t.Errorf("a node that moved has its new address, one that went has no route (-want +got):\n%s", diff)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s, want True", c.Reason, c.Message)
	}
}

func TestARouteSomeoneElseMadeIsLeftAlone(t *testing.T) {
	inNamespace(t)
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	_, other, _ := net.ParseCIDR("10.50.0.0/24")
	if err := netlink.RouteAdd(&netlink.Route{Dst: other, LinkIndex: link.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	if err := m.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := routes(t); got != "[]" {
		t.Errorf("our routes are %s after Remove, want none", got)
	}
	left, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: other}, netlink.RT_FILTER_DST)
	if err != nil || len(left) != 1 {
		t.Errorf("the other route: %v, %v", left, err)
	}
}

func TestARestartNeedsNobody(t *testing.T) {
	inNamespace(t)
	first := manager(t)
	first.Configure(config())
	first.SetNodes(three())
	apply(t, first)

	second := manager(t)
	second.StateDir = first.StateDir
	second.Configure(config())
	apply(t, second) // it has seen no Node
	if _, err := os.Stat(second.CNIDir + "/" + ConflistName); err != nil {
		t.Errorf("the CNI configuration comes from the ranges on disk: %v", err)
	}
	if got := routes(t); got != "[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]" {
		t.Errorf("routes are %s: an agent that knows no Node must not remove any", got)
	}
	if c := second.Health(); c.Status != "True" {
		t.Errorf("got %s: %s, want True", c.Reason, c.Message)
	}
}

func TestAMissingRouteIsSeen(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	if err := NewKernel().RemoveRoute(Route{Destination: p("10.244.2.0/24"), Gateway: a("10.99.0.3")}); err != nil {
		t.Fatal(err)
	}
	if c := m.Health(); c.Status != "False" || c.Reason != v1alpha1.ReasonProbeFailed {
		t.Errorf("got %s %s: %s", c.Status, c.Reason, c.Message)
	}
	apply(t, m)
	if c := m.Health(); c.Status != "True" {
		t.Errorf("after the repair: %s: %s", c.Reason, c.Message)
	}
}

func TestNodesOnAnotherSegmentAreAnErrorWithAWayOut(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes([]Node{three()[0], node("far", "192.0.2.1", "10.244.9.0/24")})
	if err := m.Apply(); err == nil {
		t.Fatal("a gateway that is not on the link was accepted")
	}
	if c := m.Health(); c.Status != "False" {
		t.Errorf("got %s: %s", c.Status, c.Message)
	}
}

func TestMasqueradeIsReplacedAsAWholeAndRemoved(t *testing.T) {
	inNamespace(t)
	k := NewKernel()
	for range 2 {
		if err := k.Masquerade([]netip.Prefix{p("10.244.0.0/24"), p("fd00::/64")}, nil, []netip.Prefix{p("10.244.0.0/16")}); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	rules, err := conn.GetRules(table, &nftables.Chain{Name: "postrouting", Table: table})
	if err != nil || len(rules) != 3 {
		t.Errorf("got %d rules (%v), want one that spares pods and one for each own range", len(rules), err)
	}
	if err := k.Masquerade(nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if tables, err := conn.ListTables(); err != nil || len(tables) != 0 {
		t.Errorf("tables %v, %v: want none", tables, err)
	}
}

func TestExternalLeavesTheNetworkAlone(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	c := config()
	c.Settings.Mode = v1alpha1.NetworkModeExternal
	m.Configure(c)
	apply(t, m)
	if got := routes(t); got != "[]" {
		t.Errorf("routes %s are left", got)
	}
	if _, err := os.Stat(m.CNIDir + "/" + ConflistName); err == nil {
		t.Error("the CNI configuration is left")
	}
	if c, s := m.Health(), m.Status(); c.Status != "True" || c.Reason != v1alpha1.ReasonDisabled || s.State != v1alpha1.ComponentDisabled {
		t.Errorf("got %s %s, state %s", c.Status, c.Reason, s.State)
	}
}

func TestWithoutARangeThereIsNothingToDo(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes([]Node{node("a", "10.99.0.1")})
	apply(t, m)
	if c := m.Health(); c.Status != "False" || c.Reason != v1alpha1.ReasonStarting {
		t.Errorf("got %s %s", c.Status, c.Reason)
	}
	if s := m.Status(); s.State != v1alpha1.ComponentWaiting {
		t.Errorf("got state %s", s.State)
	}
}
