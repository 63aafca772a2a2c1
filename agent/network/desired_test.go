package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func a(s string) netip.Addr   { return netip.MustParseAddr(s) }

func node(name string, address string, cidrs ...string) Node {
	n := Node{Name: name, Addresses: []netip.Addr{a(address)}}
	for _, c := range cidrs {
		n.PodCIDRs = append(n.PodCIDRs, p(c))
	}
	return n
}

func TestRoutes(t *testing.T) {
	bounds := Bounds{
		Pods: []netip.Prefix{p("10.244.0.0/16"), p("fd00::/48")}, Reserved: []netip.Prefix{p("10.96.0.0/16"), p("10.244.255.1/32")},
		Links: []netip.Prefix{p("10.0.0.0/24")},
	}
	for name, c := range map[string]struct {
		reason string
		own    []netip.Prefix
		nodes  []Node
		want   []string
		refuse []string
	}{
		"others": {
			reason: "each other node's range goes by its address, sorted, and the node itself needs none",
			own:    []netip.Prefix{p("10.244.0.0/24")},
			nodes:  []Node{node("c", "10.0.0.3", "10.244.2.0/24"), node("b", "10.0.0.2", "10.244.1.0/24"), node("a", "10.0.0.1", "10.244.0.0/24")},
			want:   []string{"10.244.1.0/24 via 10.0.0.2", "10.244.2.0/24 via 10.0.0.3"},
		},
		"no range yet": {
			reason: "a node that has just registered has no range",
			nodes:  []Node{node("b", "10.0.0.2")},
		},
		"other family": {
			reason: "an IPv6 range cannot go by an IPv4 address",
			nodes:  []Node{node("b", "10.0.0.2", "fd00::/64", "10.244.1.0/24")},
			want:   []string{"10.244.1.0/24 via 10.0.0.2"},
		},
		"own range": {
			reason: "a stale Node must not take the node's own range away from its bridge",
			own:    []netip.Prefix{p("10.244.1.0/24")},
			nodes:  []Node{node("b", "10.0.0.2", "10.244.1.0/24")},
			refuse: []string{"b (10.244.1.0/24: it overlaps the range of the Node a)"},
		},
		"doubled": {
			reason: "of two Nodes with one range the first by name has it, always",
			nodes:  []Node{node("c", "10.0.0.3", "10.244.1.0/24"), node("b", "10.0.0.2", "10.244.1.0/24")},
			want:   []string{"10.244.1.0/24 via 10.0.0.2"},
			refuse: []string{"c (10.244.1.0/24: it overlaps the range of the Node b)"},
		},
		"the API server": {
			reason: "a stolen kubelet must not get the API server's traffic",
			nodes:  []Node{node("b", "10.0.0.2", "10.244.255.1/32")},
			refuse: []string{"b (10.244.255.1/32: it overlaps 10.244.255.1/32, which is Services' or the API server's)"},
		},
		"Services": {
			reason: "nor that of Services, by a part of them or by more than all",
			nodes:  []Node{node("b", "10.0.0.2", "10.96.0.10/32"), node("c", "10.0.0.3", "10.0.0.0/8")},
			refuse: []string{"b (10.96.0.10/32: it overlaps 10.96.0.0/16, which is Services' or the API server's)", "c (10.0.0.0/8: it overlaps 10.96.0.0/16, which is Services' or the API server's)"},
		},
		"another node": {
			reason: "nor what is for another node itself",
			nodes:  []Node{node("a", "10.0.0.1"), node("b", "10.0.0.2", "10.0.0.1/32"), node("c", "10.0.0.3", "10.0.0.2/31")},
			refuse: []string{"b (10.0.0.1/32: it holds 10.0.0.1, the address of the Node a)", "c (10.0.0.2/31: it holds 10.0.0.2, the address of the Node b)"},
		},
		"elsewhere": {
			reason: "pods are in the cluster's ranges, and in no part of a wider one",
			nodes:  []Node{node("b", "10.0.0.2", "192.168.0.0/24"), node("c", "10.0.0.3", "fd00:1::/64"), node("d", "10.0.0.4", "8.8.8.8/32")},
			refuse: []string{"b (192.168.0.0/24: it is outside of the cluster's pod ranges [10.244.0.0/16 fd00::/48])", "d (8.8.8.8/32: it is outside of the cluster's pod ranges [10.244.0.0/16 fd00::/48])"},
		},
		"everything": {
			reason: "a default route is none for pods",
			nodes:  []Node{node("b", "10.0.0.2", "0.0.0.0/0")},
			refuse: []string{"b (0.0.0.0/0: it overlaps 10.96.0.0/16, which is Services' or the API server's)"},
		},
		"a lie about an address": {
			reason: "a Node that says it is where another's pods are takes nothing from them: no node is there",
			nodes:  []Node{node("b", "10.0.0.2", "10.244.1.0/24"), node("z", "10.244.1.9", "10.244.9.0/24")},
			want:   []string{"10.244.1.0/24 via 10.0.0.2", "10.244.9.0/24 via 10.244.1.9"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got, refused []string
			routes, refusals := Routes("a", c.own, c.nodes, bounds)
			for _, r := range routes {
				got = append(got, r.String())
			}
			for _, r := range refusals {
				refused = append(refused, r.String())
			}
			if diff := cmp.Diff([][]string{c.want, c.refuse}, [][]string{got, refused}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestWithoutPodRangesAndLinksRoutesAreStillBounded(t *testing.T) {
	nodes := []Node{node("b", "10.0.0.2", "172.16.0.0/24"), node("c", "10.0.0.3", "10.0.0.0/24")}
	routes, refused := Routes("a", nil, nodes, Bounds{})
	if len(routes) != 1 || routes[0].Destination != p("172.16.0.0/24") || len(refused) != 1 || refused[0].Node != "c" {
		t.Errorf("got %v and refused %v, want only the range that holds a node's address refused", routes, refused)
	}
}

func TestConflistIsGolden(t *testing.T) {
	for file, c := range map[string]struct {
		own []netip.Prefix
		mtu int
	}{
		"single.conflist": {own: []netip.Prefix{p("10.244.0.0/24")}, mtu: 1450},
		"dual.conflist":   {own: []netip.Prefix{p("10.244.0.0/24"), p("fd00:10:244::/64")}},
	} {
		got, err := Conflist(c.own, c.mtu)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", file)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got; UPDATE_GOLDEN=1 writes it):\n%s", golden, diff)
		}
	}
}
