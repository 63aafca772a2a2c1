package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/dump"
)

// routeProtocol marks our routes (rtnetlink(7), rtm_protocol); nothing in iproute2's rt_protos has the number.
const routeProtocol netlink.RouteProtocol = 208

// RouteTable is where routes go.
type RouteTable interface {
	// Routes lists our routes.
	Routes() ([]Route, error)
	// AddRoute makes a route, replacing one to the same destination. ErrUnreachable says that its gateway is at fault.
	AddRoute(Route) error
	// RemoveRoute removes a route of ours; one that is gone already is no error.
	RemoveRoute(Route) error
	// Subnets are those of the machine's links but for the bridge.
	Subnets() ([]netip.Prefix, error)
}

// Kernel is where routes and rules go.
type Kernel interface {
	RouteTable
	// Masquerade makes traffic from own to anything outside of pods leave with the node's address, and traffic from
	// former to anything outside of the bridge; without own ranges it removes the rules.
	Masquerade(own, former, pods []netip.Prefix) error
	// BridgeAddresses are those of the bridge but for link-local ones, in the kernel's order; none when it is not there.
	BridgeAddresses() ([]netip.Prefix, error)
	// AddBridgeAddress gives the bridge an address, after those that it has.
	AddBridgeAddress(netip.Prefix) error
	// RemoveBridgeAddress takes an address off the bridge; one that is gone already is no error.
	RemoveBridgeAddress(netip.Prefix) error
	// Masquerades says whether Masquerade has nothing to do.
	Masquerades(own, former, pods []netip.Prefix) (bool, error)
	// Bridge is the bridge with the links on it.
	Bridge() (BridgeState, error)
	// MakeBridge makes the bridge unless it is there, and sets it up. An MTU of 0 leaves that to the kernel, and so does no
	// hardware address.
	MakeBridge(mac net.HardwareAddr, mtu int) error
	// AttachPort makes a link a port of the bridge as the plugin does; one that is gone is no error.
	AttachPort(name string) error
	// HostPorts are the sandboxes for which the portmap plugin has rules.
	HostPorts() ([]string, error)
	// HasLink says whether there is a link of a name.
	HasLink(name string) (bool, error)
	// Sysctl is the value of a parameter by its dotted name.
	Sysctl(name string) (string, error)
	// SetSysctl sets one.
	SetSysctl(name, value string) error
	// RemoveBridge removes the bridge; one that is gone already is no error.
	RemoveBridge() error
}

// ErrUnreachable is that a route's gateway is on no link of the machine, or an address that can be none: IPv4 says
// ENETUNREACH and IPv6 EHOSTUNREACH, and both say EINVAL of an address that is nobody's, such as a broadcast one.
var ErrUnreachable = errors.New("the nodes share no L2 segment")

// NewKernel is the kernel of the network namespace the process is in.
func NewKernel() Kernel { return kernel{} }

type kernel struct{}

func (kernel) Routes() ([]Route, error) {
	found, err := dump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
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
	for _, gatewaysFault := range []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL} {
		if errors.Is(err, gatewaysFault) {
			return fmt.Errorf("add route %s: %w: %w", r, ErrUnreachable, err)
		}
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

func (kernel) Subnets() ([]netip.Prefix, error) {
	link, err := bridge()
	if err != nil {
		return nil, err
	}
	addresses, err := dump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var subnets []netip.Prefix
	for _, a := range addresses {
		if p, ok := prefix(a.IPNet); ok && (link == nil || a.LinkIndex != link.Attrs().Index) {
			subnets = append(subnets, p.Masked())
		}
	}
	return subnets, nil
}

func (kernel) RemoveBridge() error {
	link, err := bridge()
	if err != nil || link == nil {
		return err
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("remove link %s: %w", Bridge, err)
	}
	return nil
}

func (kernel) BridgeAddresses() ([]netip.Prefix, error) {
	link, err := bridge()
	if err != nil || link == nil {
		return nil, err
	}
	found, err := dump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", Bridge, err)
	}
	var addresses []netip.Prefix
	for _, a := range found {
		if p, ok := prefix(a.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			addresses = append(addresses, p)
		}
	}
	return addresses, nil
}

func (kernel) AddBridgeAddress(address netip.Prefix) error {
	link, err := bridge()
	if err != nil || link == nil {
		return err
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s to %s: %w", address, Bridge, err)
	}
	return nil
}

func (kernel) RemoveBridgeAddress(address netip.Prefix) error {
	link, err := bridge()
	if err != nil || link == nil {
		return err
	}
	if err := netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s from %s: %w", address, Bridge, err)
	}
	return nil
}

// bridge finds the bridge; nil when there is none.
func bridge() (netlink.Link, error) {
	link, err := netlink.LinkByName(Bridge)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", Bridge, err)
	}
	return link, nil
}

func netlinkRoute(r Route) *netlink.Route {
	return &netlink.Route{
		Dst:      ipNet(r.Destination),
		Gw:       r.Gateway.AsSlice(),
		Protocol: routeProtocol,
		Table:    unix.RT_TABLE_MAIN,
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones), ok
}
