package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Node is what the pod network needs to know of a Node.
type Node struct {
	Name      string
	Addresses []netip.Addr
	PodCIDRs  []netip.Prefix
}

// Route is a route to another node's pods.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
}

// String is the route as ip(8) writes it.
func (r Route) String() string { return fmt.Sprintf("%s via %s", r.Destination, r.Gateway) }

// Routes are those that the node named self needs, sorted. A range goes by an address of its own family; a range
// that overlaps one of the node's own, or one that another node has first, gets none.
func Routes(self string, own []netip.Prefix, nodes []Node) []Route {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	taken := slices.Clone(own)
	var routes []Route
	for _, node := range nodes {
		if node.Name == self {
			continue
		}
		for _, cidr := range node.PodCIDRs {
			gateway, ok := addressFor(cidr, node.Addresses)
			if !ok || slices.ContainsFunc(taken, cidr.Overlaps) {
				continue
			}
			taken = append(taken, cidr)
			routes = append(routes, Route{Destination: cidr, Gateway: gateway})
		}
	}
	slices.SortFunc(routes, compareRoutes)
	return routes
}

func addressFor(cidr netip.Prefix, addresses []netip.Addr) (netip.Addr, bool) {
	for _, a := range addresses {
		if a.Is4() == cidr.Addr().Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func compareRoutes(a, b Route) int {
	return cmp.Or(a.Destination.Addr().Compare(b.Destination.Addr()), cmp.Compare(a.Destination.Bits(), b.Destination.Bits()), a.Gateway.Compare(b.Gateway))
}

// diffRoutes says what to add to have, and what to take away, to get want.
func diffRoutes(have, want []Route) (add, remove []Route) {
	for _, r := range want {
		if !slices.Contains(have, r) {
			add = append(add, r)
		}
	}
	for _, r := range have {
		if !slices.Contains(want, r) {
			remove = append(remove, r)
		}
	}
	return add, remove
}
