package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks our routes (rtnetlink(7), rtm_protocol); nothing in iproute2's rt_protos has the number.
const routeProtocol netlink.RouteProtocol = 208

// Kernel is where routes and rules go.
type Kernel interface {
	// Routes lists our routes.
	Routes() ([]Route, error)
	// AddRoute makes a route, replacing one to the same destination.
	AddRoute(Route) error
	// RemoveRoute removes a route of ours; one that is gone already is no error.
	RemoveRoute(Route) error
	// Masquerade makes traffic from own to anything outside of pods leave with the node's address; without own
	// ranges it removes the rules.
	Masquerade(own, pods []netip.Prefix) error
	// RemoveBridge removes the bridge; one that is gone already is no error.
	RemoveBridge() error
}

// NewKernel is the kernel of the network namespace the process is in.
func NewKernel() Kernel { return kernel{} }

type kernel struct{}

func (kernel) Routes() ([]Route, error) {
	found, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []Route
	for _, r := range found {
		if r.Dst == nil {
			continue
		}
		dst, ok := prefix(r.Dst)
		gateway, _ := netip.AddrFromSlice(r.Gw)
		if ok {
			routes = append(routes, Route{Destination: dst, Gateway: gateway.Unmap()})
		}
	}
	slices.SortFunc(routes, compareRoutes)
	return routes, nil
}

func (kernel) AddRoute(r Route) error {
	err := netlink.RouteReplace(netlinkRoute(r))
	if errors.Is(err, unix.ENETUNREACH) {
		return fmt.Errorf("add route %s: %w: the nodes share no L2 segment; use a CNI of your own (network.mode External)", r, err)
	}
	if err != nil {
		return fmt.Errorf("add route %s: %w", r, err)
	}
	return nil
}

func (kernel) RemoveRoute(r Route) error {
	if err := netlink.RouteDel(netlinkRoute(r)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove route %s: %w", r, err)
	}
	return nil
}

func (kernel) RemoveBridge() error {
	link, err := netlink.LinkByName(Bridge)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", Bridge, err)
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("remove link %s: %w", Bridge, err)
	}
	return nil
}

func netlinkRoute(r Route) *netlink.Route {
	bits := 128
	if r.Destination.Addr().Is4() {
		bits = 32
	}
	return &netlink.Route{
		Dst:      &net.IPNet{IP: r.Destination.Addr().AsSlice(), Mask: net.CIDRMask(r.Destination.Bits(), bits)},
		Gw:       r.Gateway.AsSlice(),
		Protocol: routeProtocol,
		Table:    unix.RT_TABLE_MAIN,
	}
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones), ok
}
