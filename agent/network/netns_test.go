package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/netspace"
)

// inNamespace runs the rest of the test on a thread in a network namespace of its own, which has no name and is gone
// with the thread's return; a link "eth0" there has 10.99.0.1/24.
func inNamespace(t *testing.T) {
	t.Helper()
	netspace.Enter(t)
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
	return &Manager{StateDir: t.TempDir(), CNIDir: t.TempDir(), LeaseDir: t.TempDir(), ResultsDir: t.TempDir(), Kernel: NewKernel(), Log: logr.Discard()}
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

func TestARangeThatIsNoPodsIsNotRoutedAndItsNodeIsNamed(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	c := config()
	c.Reserved = []netip.Prefix{p("10.99.0.100/32"), p("10.96.0.0/16")}
	m.Configure(c)
	nodes := three()
	nodes[1].PodCIDRs = []netip.Prefix{p("10.99.0.100/32")} // the API server's
	m.SetNodes(append(nodes, node("d", "10.99.0.4", "10.99.0.3/32")))
	apply(t, m)
	if diff := cmp.Diff("[10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" {
		t.Errorf("only the honest node has a route (-want +got):\n%s", diff)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s, want True: another's lie is no illness of this node", c.Reason, c.Message)
	}
	found := m.Findings()
	if len(found) != 1 || found[0].Name != finding.PodRangesRefused || !strings.Contains(found[0].Message, "b (10.99.0.100/32") || !strings.Contains(found[0].Message, "the address of the Node c") {
		t.Errorf("found %v, want both Nodes named with the reasons", found)
	}
	m.SetNodes(three())
	apply(t, m)
	if diff := cmp.Diff("[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]", routes(t)); diff != "" || len(m.Findings()) > 0 {
		t.Errorf("found %v and routes (-want +got):\n%s", m.Findings(), diff)
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

func TestNodesMayBeKnownBeforeTheConfiguration(t *testing.T) {
	inNamespace(t)
	m := manager(t) // of a machine that was reset, whose Node is still there
	m.SetNodes(three())
	m.Configure(config())
	m.SetNodes(three()) // the same once more: no news
	apply(t, m)
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s, want the range that the Node has", c.Reason, c.Message)
	}
	if got := routes(t); got != "[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]" {
		t.Errorf("got routes %s", got)
	}
}

func TestTheNodesRangeIsWorthMoreThanTheOneOnDisk(t *testing.T) {
	m := manager(t)
	if err := storePodCIDRs(m.StateDir, "a", list("10.244.9.0/24")); err != nil {
		t.Fatal(err)
	}
	m.SetNodes(three())
	m.Configure(config())
	if diff := cmp.Diff("[10.244.0.0/24]", fmt.Sprint(m.own)); diff != "" {
		t.Errorf("the Node was made anew with another range (-want +got):\n%s", diff)
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

func TestNodesOnAnotherSegmentAreNamedAndNoReasonToBeIll(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	wrong := node("wrong", "10.99.0.255", "10.244.8.0/24") // nobody has a broadcast address
	m.SetNodes(append(three(), node("far", "192.0.2.1", "10.244.9.0/24"), wrong))
	apply(t, m)
	if got := routes(t); got != "[10.244.1.0/24 via 10.99.0.2 10.244.2.0/24 via 10.99.0.3]" {
		t.Errorf("got routes %s, want those to the nodes that can be reached", got)
	}
	if c, s := m.Health(), m.Status(); c.Status != "True" || s.State != v1alpha1.ComponentRunning {
		t.Errorf("got %s: %s, %s; want a healthy node", c.Status, c.Message, s.State)
	}
	found := m.Findings()
	if len(found) != 1 || found[0].Name != finding.NodesUnreachable || found[0].Severity != v1alpha1.FindingWarning ||
		!strings.Contains(found[0].Message, "wrong (10.244.8.0/24 via 10.99.0.255), far (10.244.9.0/24 via 192.0.2.1)") || !strings.Contains(found[0].Message, "network.mode External") {
		t.Errorf("got %v, want a warning with the nodes and a way out", found)
	}
	changes := 0
	m.Changed = func() { changes++ }
	apply(t, m)
	if changes != 0 {
		t.Error("nothing has changed, and it was told")
	}
	m.SetNodes(three())
	apply(t, m)
	if found := m.Findings(); len(found) != 0 || changes != 1 {
		t.Errorf("got %v after the Nodes were gone, and %d changes", found, changes)
	}
}

func TestANodeThatComesWithinReachGetsItsRouteSoon(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 1)
	m.Changed = func() { told <- struct{}{} }
	runIn(t, m)
	hear := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(verifyInterval / 2):
			t.Fatalf("it was never told that %s", what)
		}
	}
	hear("the link is down")
	if len(m.Findings()) != 1 {
		t.Errorf("got %v while the link is down", m.Findings())
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	hear("the link is up")
	if len(m.Findings()) != 0 || routes(t) == "[]" {
		t.Errorf("got %v and routes %s after the link came up", m.Findings(), routes(t))
	}
}

// runIn runs the manager in the test's namespace until the test ends.
func runIn(t *testing.T, m *Manager) {
	t.Helper()
	inside, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := netns.Set(inside); err != nil {
			t.Error(err)
			return
		}
		m.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done; _ = inside.Close() })
}

func TestManyNodesOutOfReachAreAFindingThatTheAPITakes(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	nodes := three()
	for i := range 200 {
		nodes = append(nodes, node(fmt.Sprintf("far-%d-%s", i, strings.Repeat("x", 200)), "192.0.2.1", fmt.Sprintf("10.245.%d.0/24", i)))
	}
	m.SetNodes(nodes)
	apply(t, m)
	found := m.Findings()
	if len(found) != 1 || len(found[0].Message) > 1024 || !strings.Contains(found[0].Message, " more") {
		t.Errorf("got %v", found)
	}
}

// broken is a kernel in which rules cannot be set; each try is counted.
type broken struct {
	Kernel
	tries chan time.Time
}

func (b broken) Masquerade(_, _, _ []netip.Prefix) error {
	select {
	case b.tries <- time.Now():
	default: // nobody counts any more
	}
	return errors.New("no nftables here")
}

func TestFailuresAreTriedLessAndLessAndLoggedOnce(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	tries := make(chan time.Time, 3)
	m.Kernel = broken{nothing{}, tries}
	var mu sync.Mutex
	var logged []string
	m.Log = funcr.New(func(_, args string) { mu.Lock(); defer mu.Unlock(); logged = append(logged, args) }, funcr.Options{})
	m.Configure(config())
	m.SetNodes(three())
	runIn(t, m)
	first, second, third := <-tries, <-tries, <-tries
	mu.Lock()
	defer mu.Unlock()
	if third.Sub(second) < 3*second.Sub(first)/2 {
		t.Errorf("waited %s and then %s, want about twice as long", second.Sub(first), third.Sub(second))
	}
	if len(logged) != 1 || !strings.Contains(logged[0], "no nftables here") {
		t.Errorf("logged %q, want the failure once", logged)
	}
}

// nothing is a kernel without routes and bridge.
type nothing struct{ Kernel }

func (nothing) Routes() ([]Route, error)                 { return nil, nil }
func (nothing) Subnets() ([]netip.Prefix, error)         { return nil, nil }
func (nothing) AddRoute(Route) error                     { return nil }
func (nothing) BridgeAddresses() ([]netip.Prefix, error) { return nil, nil }
func (nothing) Sysctl(string) (string, error)            { return "1", nil }

func TestRulesAreReplacedOnlyWhenTheyDiffer(t *testing.T) {
	inNamespace(t)
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(own, former string) {
		t.Helper()
		must(NewKernel().Masquerade(list(own), list(former), list("10.244.0.0/16")))
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	marked := func() bool {
		t.Helper()
		sets, err := conn.GetSets(table)
		must(err)
		return len(sets) == 1
	}
	set("10.244.0.0/24", "")
	must(conn.AddSet(&nftables.Set{Table: table, Name: "marker", KeyType: nftables.TypeIPAddr}, nil)) // which goes with the table
	must(conn.Flush())
	set("10.244.0.0/24", "")
	if !marked() {
		t.Error("the table was replaced by an equal one")
	}
	set("10.244.0.0/24", "10.244.7.0/24")
	if marked() || rules(t) != 3 {
		t.Errorf("got %d rules, want those of another range too", rules(t))
	}
	conn.FlushTable(table)
	must(conn.Flush())
	set("10.244.0.0/24", "10.244.7.0/24")
	if rules(t) != 3 {
		t.Errorf("got %d rules, want those that someone flushed", rules(t))
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
	if c := m.Health(); c.Status != "False" || c.Reason != v1alpha1.ReasonStarting || c.Message != "The Nodes are not known yet, nor which range of addresses this one's pods have" {
		t.Errorf("got %s %s: %s, before anybody knows of a Node", c.Status, c.Reason, c.Message)
	}
	m.SetNodes([]Node{node("a", "10.99.0.1")})
	apply(t, m)
	if c := m.Health(); c.Status != "False" || c.Reason != v1alpha1.ReasonStarting {
		t.Errorf("got %s %s", c.Status, c.Reason)
	}
	if s := m.Status(); s.State != v1alpha1.ComponentWaiting {
		t.Errorf("got state %s", s.State)
	}
	m.SetNodes([]Node{node("b", "10.99.0.2")})
	if c := m.Health(); c.Message != "There is no Node a, whose pod range is waited for" {
		t.Errorf("got %s, want the Node, which is what is missing", c.Message)
	}
}
