package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestReaddress(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		have   string
		own    string
		inUse  string
		want   readdressing
	}{
		"nothing to do": {reason: "the gateway stays", have: "10.244.0.1/24 fd00::1/64", own: "10.244.0.0/24 fd00::/64"},
		"not used": {
			reason: "the plugin gives a bridge without an address the right one",
			have:   "10.244.0.1/24 fd00::1/64", own: "10.244.7.0/24 fd00:7::/64",
			want: readdressing{Remove: list("10.244.0.1/24 fd00::1/64")},
		},
		"used": {
			reason: "the plugin must find its gateway first; of IPv6 it takes any order",
			have:   "10.244.0.1/24 fd00::1/64", own: "10.244.7.0/24 fd00:7::/64", inUse: "10.244.0.0/24 fd00::/64",
			want: readdressing{Add: list("10.244.7.1/24"), Remove: list("10.244.0.1/24"), Restore: list("10.244.0.1/24"), Former: list("10.244.0.0/24 fd00::/64")},
		},
		"used and behind": {
			reason: "what is in order is left alone",
			have:   "10.244.7.1/24 10.244.0.1/24", own: "10.244.7.0/24", inUse: "10.244.0.0/24",
			want: readdressing{Former: list("10.244.0.0/24")},
		},
		"two former": {
			reason: "of a Node that was made anew twice both ranges may be in use",
			have:   "10.244.7.1/24 10.244.0.1/24", own: "10.244.8.0/24", inUse: "10.244.0.0/24 10.244.7.0/24",
			want: readdressing{
				Add: list("10.244.8.1/24"), Remove: list("10.244.7.1/24 10.244.0.1/24"), Restore: list("10.244.7.1/24 10.244.0.1/24"),
				Former: list("10.244.7.0/24 10.244.0.0/24"),
			},
		},
		"the former again": {
			reason: "a gateway that comes back goes before the others",
			have:   "10.244.7.1/24 10.244.0.1/24", own: "10.244.0.0/24", inUse: "10.244.7.0/24",
			want: readdressing{Remove: list("10.244.7.1/24"), Restore: list("10.244.7.1/24"), Former: list("10.244.7.0/24")},
		},
		"another size": {
			reason: "two sizes of one range cannot both be on the bridge",
			have:   "10.244.0.1/24 fd00::1/64", own: "10.244.0.0/25 fd00::/80", inUse: "10.244.0.0/24 fd00::/64",
			want: readdressing{Remove: list("10.244.0.1/24 fd00::1/64")},
		},
	} {
		got := readdress(list(c.have), list(c.own), func(cidr netip.Prefix) bool { return slices.Contains(list(c.inUse), cidr) })
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", name, c.reason, diff)
		}
	}
}

func list(text string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range strings.Fields(text) {
		out = append(out, p(s))
	}
	return out
}

func addresses(t *testing.T) string {
	t.Helper()
	have, err := NewKernel().BridgeAddresses()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(have)
}

// pod is a network namespace that the CNI plugins know.
type pod struct {
	name    string
	handle  netns.NsHandle
	address netip.Addr
	answer  []byte // the bridge plugin's
}

// plugins run what the manager's CNI configuration says, with leases in its own directory.
type plugins struct {
	t *testing.T
	m *Manager
}

func (c plugins) run(command string, q *pod) ([]byte, error) {
	c.t.Helper()
	return c.call(command, q, 0, func(bridge map[string]any) {
		ipam, ok := bridge["ipam"].(map[string]any)
		if !ok {
			c.t.Fatalf("the configuration has no IPAM: %v", bridge)
		}
		ipam["dataDir"] = c.m.LeaseDir
	})
}

// publish has a port of the node lead to a pod, with an address that the bridge plugin answered.
func (c plugins) publish(q *pod, hostPort int, answer []byte) {
	c.t.Helper()
	mappings := []map[string]any{{"hostPort": hostPort, "containerPort": 80, "protocol": "tcp"}}
	if out, err := c.call("ADD", q, 1, func(portmap map[string]any) {
		portmap["runtimeConfig"] = map[string]any{"portMappings": mappings}
		portmap["prevResult"] = json.RawMessage(answer)
	}); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	c.keep(q, answer, map[string]any{"portMappings": mappings})
}

// call runs one of the configuration's plugins with what containerd would add to it.
func (c plugins) call(command string, q *pod, plugin int, with func(map[string]any)) ([]byte, error) {
	c.t.Helper()
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		c.t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to the directory that has the CNI plugins")
	}
	data, err := os.ReadFile(filepath.Join(c.m.CNIDir, ConflistName))
	if err != nil {
		c.t.Fatal(err)
	}
	var conflist struct {
		CNIVersion string           `json:"cniVersion"`
		Name       string           `json:"name"`
		Plugins    []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal(data, &conflist); err != nil {
		c.t.Fatal(err)
	}
	settings := conflist.Plugins[plugin]
	settings["cniVersion"], settings["name"] = conflist.CNIVersion, conflist.Name
	with(settings)
	if data, err = json.Marshal(settings); err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, fmt.Sprint(settings["type"])))
	cmd.Env = []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + q.name, "CNI_IFNAME=eth0", "CNI_PATH=" + dir, "PATH=" + os.Getenv("PATH"),
		fmt.Sprintf("CNI_NETNS=/proc/%d/fd/%d", os.Getpid(), int(q.handle)),
	}
	cmd.Stdin = bytes.NewReader(data)
	return cmd.Output()
}

// add makes a pod as the kubelet would.
func (c plugins) add(name string) (*pod, error) {
	c.t.Helper()
	outside, err := netns.Get()
	if err != nil {
		c.t.Fatal(err)
	}
	inside, err := netns.New()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := netns.Set(outside); err != nil {
		c.t.Fatal(err)
	}
	_ = outside.Close()
	c.t.Cleanup(func() { _ = inside.Close() })
	q := &pod{name: name, handle: inside}
	out, err := c.run("ADD", q)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	q.answer = out
	c.keep(q, out, nil)
	var result struct {
		IPs []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal(out, &result); err != nil {
		c.t.Fatal(err)
	}
	q.address = result.IPs[0].Address.Addr()
	return q, nil
}

// keep writes the plugin's answer where libcni does, with what the kubelet says of the pod.
func (c plugins) keep(q *pod, answer []byte, capabilities map[string]any) {
	c.t.Helper()
	data, err := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": q.name, "ifName": "eth0", "networkName": networkName,
		"cniArgs":        [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", q.name}},
		"capabilityArgs": capabilities,
		"result":         json.RawMessage(answer),
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(c.m.ResultsDir, networkName+"-"+q.name+"-eth0"), data, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c plugins) must(name string) *pod {
	c.t.Helper()
	q, err := c.add(name)
	if err != nil {
		c.t.Fatalf("pod %s: %v", name, err)
	}
	return q
}

// in runs f in the network namespace of a pod.
func (q *pod) in(t *testing.T, f func()) {
	t.Helper()
	outside, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(outside); err != nil {
			t.Fatal(err)
		}
		_ = outside.Close()
	}()
	if err := netns.Set(q.handle); err != nil {
		t.Fatal(err)
	}
	f()
}

// reaches says whether a pod can talk to another one.
func (q *pod) reaches(t *testing.T, other *pod) error {
	t.Helper()
	var listener net.Listener
	other.in(t, func() {
		var err error
		if listener, err = net.Listen("tcp", net.JoinHostPort(other.address.String(), "0")); err != nil {
			t.Fatal(err)
		}
	})
	defer func() { _ = listener.Close() }()
	var err error
	q.in(t, func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second); err == nil {
			_ = conn.Close()
		}
	})
	return err
}

func TestPodsAreStartedAfterTheNodeGotAnotherRange(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	changes := 0
	m.Changed = func() { changes++ }
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	cni := plugins{t, m}
	old := cni.must("old")

	again := three()
	again[0] = node("a", "10.99.0.1", "10.244.7.0/24")
	m.SetNodes(again)
	changes = 0
	apply(t, m)
	if changes != 1 {
		t.Errorf("%d changes were told, want one: the number of pods depends on the range", changes)
	}
	fresh := cni.must("fresh")
	if !p("10.244.7.0/24").Contains(fresh.address) {
		t.Errorf("the new pod has %s, want an address of the new range", fresh.address)
	}
	if err := old.reaches(t, fresh); err != nil {
		t.Errorf("a pod with an address of the old range must keep its gateway: %v", err)
	}
	if err := fresh.reaches(t, old); err != nil {
		t.Errorf("and be reached by those on the node: %v", err)
	}
	if got := rules(t); got != 4 {
		t.Errorf("got %d rules, want one more: other nodes have no way back to the old pod but by the node's address", got)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s, want True", c.Reason, c.Message)
	}
	found := m.Findings()
	if len(found) != 1 || found[0].Name != finding.FormerPodRange || !strings.Contains(found[0].Message, "10.244.0.0/24") {
		t.Errorf("got %v, want a finding that names the old range", found)
	}

	if out, err := cni.run("DEL", old); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	apply(t, m)
	if got := addresses(t); got != "[10.244.7.1/24]" {
		t.Errorf("the bridge has %s after the last old pod, want only the new gateway", got)
	}
	if found := m.Findings(); len(found) != 0 || rules(t) != 3 {
		t.Errorf("got %v and %d rules after the last old pod", found, rules(t))
	}
}

func rules(t *testing.T) int {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	rules, err := conn.GetRules(table, &nftables.Chain{Name: "postrouting", Table: table})
	if err != nil {
		t.Fatal(err)
	}
	return len(rules)
}

func TestARangeIsTheNodesThatHasIt(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	plugins{t, m}.must("old")
	m.SetNodes([]Node{node("a", "10.99.0.1", "10.244.7.0/24"), node("d", "10.99.0.4", "10.244.0.0/24")})
	apply(t, m)
	if got := addresses(t); got != "[]" {
		t.Errorf("the bridge has %s: the range is another Node's now, whatever old pods there are", got)
	}
	if got := routes(t); got != "[10.244.0.0/24 via 10.99.0.4]" {
		t.Errorf("got routes %s", got)
	}
	plugins{t, m}.must("fresh")
}

func TestBothFamiliesGetTheirGateways(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes([]Node{node("a", "10.99.0.1", "10.244.0.0/24", "fd00:10:244::/64")})
	apply(t, m)
	cni := plugins{t, m}
	old := cni.must("old")
	for _, next := range []string{"fd00:10:244:7::/64", "fd00:10:244:7::/80"} {
		m.SetNodes([]Node{node("a", "10.99.0.1", "10.244.7.0/24", next)})
		apply(t, m)
		cni.must(next[len(next)-2:])
	}
	if out, err := cni.run("DEL", old); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	apply(t, m)
	if got := addresses(t); got != "[10.244.7.1/24 fd00:10:244:7::1/80]" {
		t.Errorf("the bridge has %s", got)
	}
}

func TestABridgeThatRefusesPodsIsSeenAndMended(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Bridge}}); err != nil {
		t.Fatal(err)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("the plugin gives a bridge its address; got %s: %s", c.Reason, c.Message)
	}
	if err := NewKernel().AddBridgeAddress(p("10.42.0.1/24")); err != nil {
		t.Fatal(err)
	}
	if c := m.Health(); c.Status != "False" || c.Reason != v1alpha1.ReasonProbeFailed || !strings.Contains(c.Message, "10.42.0.1/24") {
		t.Errorf("got %s %s: %s, want the address that hinders", c.Status, c.Reason, c.Message)
	}
	apply(t, m)
	if c := m.Health(); c.Status != "True" || addresses(t) != "[]" {
		t.Errorf("after the repair: %s: %s, with %s", c.Reason, c.Message, addresses(t))
	}
}
