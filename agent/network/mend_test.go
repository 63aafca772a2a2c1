package network

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/util/wait"
)

func TestTheBridgeThatIsMadeAgainIsTheOneThatPodsKnow(t *testing.T) {
	m, cni, one, two := node1(t)
	before := link(t, Bridge).Attrs()
	if err := netlink.LinkDel(link(t, Bridge)); err != nil {
		t.Fatal(err)
	}
	apply(t, m)
	after := link(t, Bridge).Attrs()
	if !bytes.Equal(before.HardwareAddr, after.HardwareAddr) || before.MTU != after.MTU {
		t.Errorf("the bridge has %s and MTU %d, had %s and %d: pods would talk to nobody until they ask for their gateway again", after.HardwareAddr, after.MTU, before.HardwareAddr, before.MTU)
	}
	third := cni.must("three")
	if got := link(t, Bridge).Attrs().HardwareAddr; !bytes.Equal(before.HardwareAddr, got) {
		t.Errorf("with a new pod the bridge has %s, had %s", got, before.HardwareAddr)
	}
	for _, pair := range [][2]*pod{{one, two}, {two, third}, {third, one}} {
		if err := pair[0].reaches(t, pair[1]); err != nil {
			t.Errorf("%s does not reach %s: %v", pair[0].name, pair[1].name, err)
		}
	}
}

func TestPodsOfAFormerRangeGetTheirGatewayBack(t *testing.T) {
	m, cni, one, _ := node1(t)
	again := three()
	again[0] = node("a", "10.99.0.1", "10.244.7.0/24")
	m.SetNodes(again)
	apply(t, m)
	fresh := cni.must("fresh")
	if err := netlink.LinkDel(link(t, Bridge)); err != nil {
		t.Fatal(err)
	}
	apply(t, m)
	if got := addresses(t); got != "[10.244.7.1/24 10.244.0.1/24]" {
		t.Errorf("the bridge has %s, want the own range's first, as the plugin wants it", got)
	}
	if err := one.reaches(t, fresh); err != nil {
		t.Error(err)
	}
	cni.must("later")
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s", c.Reason, c.Message)
	}
}

func TestWhatSomebodyTakesAwayIsBackAtOnce(t *testing.T) {
	for name, fault := range map[string]func(*testing.T) error{
		"the bridge": func(t *testing.T) error { t.Helper(); return netlink.LinkDel(link(t, Bridge)) },
		"all rules": func(*testing.T) error {
			conn, err := nftables.New()
			if err == nil {
				conn.FlushRuleset()
				err = conn.Flush()
			}
			return err
		},
		"forwarding": func(*testing.T) error { return NewKernel().SetSysctl("net.ipv4.ip_forward", "0") },
		"a route": func(*testing.T) error {
			return NewKernel().RemoveRoute(Route{Destination: p("10.244.2.0/24"), Gateway: a("10.99.0.3")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, one, two := node1(t)
			if err := NewKernel().RemoveRoute(Route{Destination: p("10.244.1.0/24"), Gateway: a("10.99.0.2")}); err != nil {
				t.Fatal(err)
			}
			runIn(t, m)
			untilTrue(t, m) // its first run is over
			if err := fault(t); err != nil {
				t.Fatal(err)
			}
			untilTrue(t, m)
			if err := one.reaches(t, two); err != nil {
				t.Error(err)
			}
		})
	}
}

// untilTrue waits until what kept pods from each other is no more, without asking the manager to look.
func untilTrue(t *testing.T, m *Manager) {
	t.Helper()
	var found []string
	var failure error
	if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 5*time.Second, true, func(context.Context) (bool, error) {
		found, failure = m.faults()
		return failure == nil && len(found) == 0, nil
	}); err != nil {
		t.Fatalf("nobody mended it: %v, %v", found, failure)
	}
}

func TestGateways(t *testing.T) {
	pods := func(gateways ...string) (all []attachment) {
		for _, g := range gateways {
			all = append(all, attachment{gateways: list(g)})
		}
		return all
	}
	for name, c := range map[string]struct {
		reason string
		pods   []attachment
		own    string
		taken  string
		want   string
	}{
		"no pods":       {reason: "the plugin makes what the first pod needs", own: "10.244.0.0/24"},
		"own":           {reason: "each once", pods: pods("10.244.0.1/24", "10.244.0.1/24"), own: "10.244.0.0/24", want: "10.244.0.1/24"},
		"former":        {reason: "the plugin must find the own range's first", pods: pods("10.244.7.1/24", "10.244.0.1/24"), own: "10.244.0.0/24", want: "10.244.0.1/24 10.244.7.1/24"},
		"taken":         {reason: "a range is the Node's that has it", pods: pods("10.244.7.1/24"), own: "10.244.0.0/24", taken: "10.244.7.0/24"},
		"another size":  {reason: "two sizes of one range cannot both be on the bridge", pods: pods("10.244.0.1/24"), own: "10.244.0.0/25"},
		"both families": {reason: "in the order of the ranges", pods: pods("fd00::1/64 10.244.0.1/24"), own: "10.244.0.0/24 fd00::/64", want: "10.244.0.1/24 fd00::1/64"},
	} {
		t.Run(name, func(t *testing.T) {
			got := gateways(c.pods, list(c.own), func(r netip.Prefix) bool { return slices.Contains(list(c.taken), r) })
			if !slices.Equal(got, list(c.want)) {
				t.Errorf("%s: got %v, want %s", c.reason, got, c.want)
			}
		})
	}
}
