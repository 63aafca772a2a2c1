package network

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// node1 is a node with two pods, "one" and "two".
func node1(t *testing.T) (m *Manager, cni plugins, one, two *pod) {
	t.Helper()
	inNamespace(t)
	m = manager(t)
	m.Configure(config())
	m.SetNodes(three())
	apply(t, m)
	cni = plugins{t, m}
	one, two = cni.must("one"), cni.must("two")
	if c := m.Health(); c.Status != "True" {
		t.Fatalf("got %s: %s, want a healthy node to begin with", c.Reason, c.Message)
	}
	return m, cni, one, two
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// port is the link of a pod on the node's side.
func port(t *testing.T, m *Manager, pod string) netlink.Link {
	t.Helper()
	all, err := m.attachments()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.pod == "default/"+pod {
			return link(t, a.port)
		}
	}
	t.Fatalf("no pod %s in %v", pod, all)
	return nil
}

func TestWhateverOfThePodNetworkIsGoneIsNamedAndMended(t *testing.T) {
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	inTable := func(t *testing.T, do func(*nftables.Conn)) {
		t.Helper()
		conn, err := nftables.New()
		if err == nil {
			do(conn)
			err = conn.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		fault func(*testing.T, *Manager)
		want  string // PORT stands for the first pod's
		// beyond says that nobody can mend it without ending the pod.
		beyond bool
	}{
		"link": {
			fault: func(t *testing.T, _ *Manager) { must(t, netlink.LinkDel(link(t, Bridge))) },
			want:  "The bridge cni0 is gone, and pods are cut off: default/one, default/two",
		},
		"state": {
			fault: func(t *testing.T, _ *Manager) { must(t, netlink.LinkSetDown(link(t, Bridge))) },
			want:  "The bridge cni0 is down, and pods are cut off: default/one, default/two",
		},
		"address": {
			fault: func(t *testing.T, _ *Manager) { must(t, NewKernel().RemoveBridgeAddress(p("10.244.0.1/24"))) },
			want:  "The bridge cni0 lacks the address 10.244.0.1/24, pods' gateway",
		},
		"a port off the bridge": {
			fault: func(t *testing.T, m *Manager) { must(t, netlink.LinkSetNoMaster(port(t, m, "one"))) },
			want:  "The link PORT of the pod default/one is not on the bridge cni0",
		},
		"a port that is down": {
			fault: func(t *testing.T, m *Manager) { must(t, netlink.LinkSetDown(port(t, m, "one"))) },
			want:  "The link PORT of the pod default/one is down",
		},
		"a port without hairpin": {
			fault: func(t *testing.T, m *Manager) { must(t, netlink.LinkSetHairpin(port(t, m, "one"), false)) },
			want:  "The link PORT of the pod default/one is not in hairpin mode, and the pod does not reach itself by a Service",
		},
		"a port that is gone": {
			fault:  func(t *testing.T, m *Manager) { must(t, netlink.LinkDel(port(t, m, "one"))) },
			want:   "The link PORT of the pod default/one is gone, and the pod is cut off: delete the pod, so that another takes its place",
			beyond: true,
		},
		"the table": {
			fault: func(t *testing.T, _ *Manager) { inTable(t, func(c *nftables.Conn) { c.DelTable(table) }) },
			want:  "The nftables table inet drover lacks its rules, and pods do not reach what is outside of the cluster",
		},
		"its rules": {
			fault: func(t *testing.T, _ *Manager) { inTable(t, func(c *nftables.Conn) { c.FlushTable(table) }) },
			want:  "The nftables table inet drover lacks its rules, and pods do not reach what is outside of the cluster",
		},
		"forwarding": {
			fault: func(t *testing.T, m *Manager) { must(t, m.Kernel.SetSysctl("net.ipv4.ip_forward", "0")) },
			want:  "The parameter net.ipv4.ip_forward is 0, and packets of pods are not forwarded",
		},
		"a route": {
			fault: func(t *testing.T, m *Manager) {
				must(t, m.Kernel.RemoveRoute(Route{Destination: p("10.244.2.0/24"), Gateway: a("10.99.0.3")}))
			},
			want: "The route 10.244.2.0/24 via 10.99.0.3 is gone",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, one, two := node1(t)
			want := strings.ReplaceAll(c.want, "PORT", port(t, m, "one").Attrs().Name)
			c.fault(t, m)
			got := m.Health()
			if diff := cmp.Diff(want, got.Message); diff != "" || got.Status != "False" || (got.Reason == v1alpha1.ReasonPodCutOff) != c.beyond {
				t.Errorf("got %s %s (-want +got):\n%s", got.Status, got.Reason, diff)
			}
			if found := m.Findings(); len(found) > 0 {
				t.Errorf("found %v before anything was mended", found)
			}
			apply(t, m)
			if c.beyond {
				if again := m.Health(); again.Message != got.Message || len(m.Findings()) > 0 {
					t.Errorf("got %s and %v, want what cannot be mended to be said on", again.Message, m.Findings())
				}
				return
			}
			if again := m.Health(); again.Status != "True" {
				t.Errorf("got %s: %s after it was mended", again.Reason, again.Message)
			}
			if err := one.reaches(t, two); err != nil {
				t.Errorf("the pods do not reach each other: %v", err)
			}
			if found := m.Findings(); len(found) != 1 || found[0].Name != finding.NetworkMended || !strings.Contains(found[0].Message, want) {
				t.Errorf("found %v, want to be told of what was mended", found)
			}
		})
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	for want, given := range map[string][]string{
		"One":                     {"one"},
		"One; two; three":         {"one", "two", "three"},
		"One; two; three; 2 more": {"one", "two", "three", "four", "five"},
	} {
		if got := sentence(given); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAPodThatComesOrGoesIsNoFault(t *testing.T) {
	m, cni, _, _ := node1(t)
	before, err := m.attachments()
	if err != nil || len(before) != 2 {
		t.Fatalf("got %v, %v", before, err)
	}
	for what, file := range map[string]string{
		"whose address was given back":  filepath.Join(m.LeaseDir, networkName, "10.244.0.2"),
		"whose answer is not there yet": filepath.Join(m.ResultsDir, networkName+"-two-eth0"),
	} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		after, err := m.attachments()
		if err != nil || len(lasting(before, after)) != len(before)-1 {
			t.Errorf("a pod %s counts: %v, %v", what, after, err)
		}
		before = after
	}
	if err := netlink.LinkDel(link(t, Bridge)); err != nil {
		t.Fatal(err)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s, want True: without a pod the bridge is the plugin's to make", c.Reason, c.Message)
	}
	cni.must("three")
}

func TestTheTemplateMayTurnForwardingOff(t *testing.T) {
	inNamespace(t)
	m := manager(t)
	c := config()
	c.Sysctls = map[string]string{"net.ipv4.ip_forward": "0"}
	m.Configure(c)
	m.SetNodes(three())
	if err := m.Kernel.SetSysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	apply(t, m)
	if value, err := m.Kernel.Sysctl("net.ipv4.ip_forward"); err != nil || value != "0" {
		t.Errorf("got %s, %v: the template has the last word", value, err)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s", c.Reason, c.Message)
	}
}

func TestAnAttachmentIsReadFromLibcnisFile(t *testing.T) {
	got, err := readAttachment(filepath.Join("testdata", "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	mac, _ := net.ParseMAC("5e:21:aa:3f:10:04")
	want := attachment{
		pod: "kube-system/coredns-7d9c", container: "0c5f", port: "veth2b1d7a3c", addresses: []netip.Addr{a("10.244.0.7"), a("fd00:10:244::7")},
		gateways: list("10.244.0.1/24 fd00:10:244::1/64"), bridge: mac, hostPorts: []string{"8053/UDP"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(attachment{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
