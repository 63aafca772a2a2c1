package hostnet_test

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/hack/dev/hostnet"
)

// What made the routes may have been killed, and a host has routes of others.
func TestRemoveRoutesTakesOnlyThoseThatDroverMadeToPods(t *testing.T) {
	inNamespace(t)
	for _, err := range []error{
		hostnet.MakeBridge("lan0", "10.88.0.1/24"),
		netlink.RouteAdd(&netlink.Route{Dst: subnet(t, "10.244.9.0/24"), Gw: net.IPv4(10, 88, 0, 9)}),
		netlink.RouteAdd(&netlink.Route{Dst: subnet(t, "10.60.1.0/24"), Gw: net.IPv4(10, 88, 0, 12), Protocol: 208}), // a node's of another cluster
		netlink.RouteAdd(&netlink.Route{Dst: subnet(t, "10.244.1.0/24"), Gw: net.IPv4(10, 88, 0, 11), Protocol: 208}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const pods = "10.244.0.0/16"
	if got, err := hostnet.Routes(pods); err != nil || !cmp.Equal(got, []string{"10.244.1.0/24 via 10.88.0.11"}) {
		t.Errorf("Routes = %q, %v", got, err)
	}
	for range 2 {
		if err := hostnet.RemoveRoutes(pods); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := hostnet.Routes(pods); err != nil || len(got) > 0 {
		t.Errorf("Routes = %q, %v after they were removed", got, err)
	}
	for _, others := range []string{"10.244.9.0/24", "10.60.1.0/24"} {
		left, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: subnet(t, others)}, netlink.RT_FILTER_DST)
		if err != nil || len(left) != 1 {
			t.Errorf("the route to %s, which is somebody else's: %v, %v", others, left, err)
		}
	}
}

func subnet(t *testing.T, cidr string) *net.IPNet {
	t.Helper()
	_, parsed, err := net.ParseCIDR(cidr)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
