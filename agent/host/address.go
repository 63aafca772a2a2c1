package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/agent/dump"
)

// ErrNoAddress is why Gather fails when it has every other fact.
var ErrNoAddress = errors.New("the node's address is not known")

// gatherAddress chooses the node's address: the one given, else the first in the ranges given, else the source address
// of packets to the API server.
func (s *System) gatherAddress(ctx context.Context, opts GatherOptions, f *Facts) error {
	route, err := s.nodeRoute(ctx, opts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAddress, err)
	}
	f.NodeIP, f.Interface, f.MTU = route.Source, route.Link, route.MTU
	return nil
}

func (s *System) nodeRoute(ctx context.Context, opts GatherOptions) (Route, error) {
	if opts.NodeIP.IsValid() {
		return s.addressIn(netip.PrefixFrom(opts.NodeIP, opts.NodeIP.BitLen()))
	}
	if len(opts.NodeCIDRs) > 0 {
		return s.addressIn(opts.NodeCIDRs...)
	}
	servers, err := s.ServerAddresses(ctx, opts.Server)
	if err != nil {
		return Route{}, err
	}
	route, err := s.RouteTo(servers[0])
	if err != nil {
		return Route{}, fmt.Errorf("find the node's address by the route to the API server %s: %w; add a route, or give the pool network.nodeCIDRs", servers[0], err)
	}
	return route, nil
}

// addressIn is the machine's first address in the first range that has one.
func (s *System) addressIn(ranges ...netip.Prefix) (Route, error) {
	have, err := s.Addresses()
	if err != nil {
		return Route{}, fmt.Errorf("list the machine's addresses: %w", err)
	}
	for _, r := range ranges {
		for _, address := range have {
			if r.Contains(address.Source) {
				return address, nil
			}
		}
	}
	return Route{}, fmt.Errorf("none of the machine's addresses is in %v: give it one, or choose another range for the node's address", ranges)
}

// ServerAddresses are those of the API server with a URL, one at least.
func (s *System) ServerAddresses(ctx context.Context, server string) ([]netip.Addr, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("API server %q is no URL such as https://10.0.0.1:6443", server)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	addrs, err := s.LookupHost(ctx, u.Hostname())
	if err == nil && len(addrs) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		return nil, fmt.Errorf("look up the API server's name %s: %w; check the machine's resolver", u.Hostname(), err)
	}
	addresses := make([]netip.Addr, 0, len(addrs))
	for _, addr := range addrs {
		addresses = append(addresses, addr.Unmap())
	}
	return addresses, nil
}

// routeTo asks the kernel.
func routeTo(dst netip.Addr) (Route, error) {
	routes, err := netlink.RouteGet(net.IP(dst.AsSlice()))
	if err != nil {
		return Route{}, err
	}
	if len(routes) == 0 || routes[0].Src == nil {
		return Route{}, fmt.Errorf("no route to %s", dst)
	}
	src, _ := netip.AddrFromSlice(routes[0].Src)
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return Route{}, fmt.Errorf("link %d: %w", routes[0].LinkIndex, err)
	}
	return Route{Source: src.Unmap(), Link: link.Attrs().Name, MTU: link.Attrs().MTU}, nil
}

// addresses looks through every link's.
func addresses() ([]Route, error) {
	links, err := dump.Whole(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	var have []Route
	for _, link := range links {
		addrs, err := dump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if address, ok := netip.AddrFromSlice(a.IP); ok {
				have = append(have, Route{Source: address.Unmap(), Link: link.Attrs().Name, MTU: link.Attrs().MTU})
			}
		}
	}
	return have, nil
}
