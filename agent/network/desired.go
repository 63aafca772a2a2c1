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

// Bounds say which ranges of Nodes are routed. A Node says itself which range it has, and its machine may lie: a route is
// made only where pods may be.
type Bounds struct {
	// Pods are the ranges that the cluster's pods have addresses of; none means that they are not known.
	Pods []netip.Prefix
	// Reserved are ranges and addresses that are never pods': Services' and the API server's.
	Reserved []netip.Prefix
	// Links are the subnets on this machine's links. A Node's address on one of them is where the node is, and no range may
	// hold it. One that is elsewhere is no evidence: any Node could claim it, to have another's range refused. Without any,
	// every Node's address counts.
	Links []netip.Prefix
}

// Refusal is a Node's range that is not routed.
type Refusal struct {
	// Node is the Node's name.
	Node string
	// Range is what the Node says it has.
	Range netip.Prefix
	// Reason is why it is not routed.
	Reason string
}

// String is for people.
func (r Refusal) String() string { return fmt.Sprintf("%s (%s: %s)", r.Node, r.Range, r.Reason) }

// Routes are those that the node named self needs, sorted, and the ranges that get none because of what they hold. A range
// goes by an address of its own family.
func Routes(self string, own []netip.Prefix, nodes []Node, bounds Bounds) (routes []Route, refused []Refusal) {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	addresses := bounds.addresses(nodes)
	var taken []holding
	for _, cidr := range own {
		taken = append(taken, holding{cidr, self})
	}
	for _, node := range nodes {
		if node.Name == self {
			continue
		}
		for _, cidr := range node.PodCIDRs {
			gateway, ok := addressFor(cidr, node.Addresses)
			if !ok {
				continue
			}
			if reason := cmp.Or(bounds.refuse(cidr, addresses), overlap(cidr, taken)); reason != "" {
				refused = append(refused, Refusal{Node: node.Name, Range: cidr, Reason: reason})
				continue
			}
			taken = append(taken, holding{cidr, node.Name})
			routes = append(routes, Route{Destination: cidr, Gateway: gateway})
		}
	}
	slices.SortFunc(routes, compareRoutes)
	return routes, refused
}

// holding is what a Node has: a range, or a range of one for an address.
type holding struct {
	cidr netip.Prefix
	node string
}

// addresses are those of Nodes that no range may hold, sorted: a big cluster has thousands to look through.
func (b Bounds) addresses(nodes []Node) []holding {
	var found []holding
	for _, n := range nodes {
		for _, address := range n.Addresses {
			if len(b.Links) == 0 || slices.ContainsFunc(b.Links, func(link netip.Prefix) bool { return link.Contains(address) }) {
				found = append(found, holding{netip.PrefixFrom(address, address.BitLen()), n.Name})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b holding) int { return a.cidr.Addr().Compare(b.cidr.Addr()) })
	return found
}

// refuse says why a range can be no Node's, empty when it can.
func (b Bounds) refuse(cidr netip.Prefix, addresses []holding) string {
	for _, r := range b.Reserved {
		if r.Overlaps(cidr) {
			return fmt.Sprintf("it overlaps %s, which is Services' or the API server's", r)
		}
	}
	first, _ := slices.BinarySearchFunc(addresses, cidr.Masked().Addr(), func(h holding, start netip.Addr) int { return h.cidr.Addr().Compare(start) })
	if first < len(addresses) && cidr.Contains(addresses[first].cidr.Addr()) {
		return fmt.Sprintf("it holds %s, the address of the Node %s", addresses[first].cidr.Addr(), addresses[first].node)
	}
	if len(b.Pods) > 0 && !slices.ContainsFunc(b.Pods, func(pods netip.Prefix) bool { return pods.Bits() <= cidr.Bits() && pods.Contains(cidr.Addr()) }) {
		return fmt.Sprintf("it is outside of the cluster's pod ranges %v", b.Pods)
	}
	return ""
}

// overlap names the Node that has a part of a range already. Of two Nodes with one range the first by name has it, always.
func overlap(cidr netip.Prefix, taken []holding) string {
	for _, h := range taken {
		if h.cidr.Overlaps(cidr) {
			return "it overlaps the range of the Node " + h.node
		}
	}
	return ""
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
