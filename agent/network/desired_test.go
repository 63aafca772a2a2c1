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
	for name, c := range map[string]struct {
		reason string
		own    []netip.Prefix
		nodes  []Node
		want   []string
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
		},
		"doubled": {
			reason: "of two Nodes with one range the first by name has it, always",
			nodes:  []Node{node("c", "10.0.0.3", "10.244.1.0/24"), node("b", "10.0.0.2", "10.244.1.0/24")},
			want:   []string{"10.244.1.0/24 via 10.0.0.2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range Routes("a", c.own, c.nodes) {
				got = append(got, r.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
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
