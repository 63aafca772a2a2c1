package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/drover-dev/drover/agent/finding"
)

// sighting is what the kernel has of the pods' network.
type sighting struct {
	bridge    BridgeState
	addresses []netip.Prefix
	routes    []Route
	// gone are the links of pods that do not exist.
	gone []string
	// masquerades says that the rules are there, and closed are the parameters that keep packets from being forwarded.
	masquerades bool
	closed      []string
}

// look asks the kernel for all that pods need.
func (m *Manager) look(want wanted, pods []attachment) (s sighting, err error) {
	if s.bridge, err = m.Kernel.Bridge(); err != nil {
		return s, err
	}
	if s.addresses, err = m.Kernel.BridgeAddresses(); err != nil {
		return s, err
	}
	if s.routes, err = m.Kernel.Routes(); err != nil {
		return s, err
	}
	for _, a := range pods {
		if _, on := s.bridge.Ports[a.port]; on {
			continue
		}
		there, err := m.Kernel.HasLink(a.port)
		if err != nil {
			return s, err
		}
		if !there {
			s.gone = append(s.gone, a.port)
		}
	}
	if s.masquerades, err = m.Kernel.Masquerades(want.own, want.former, want.pods); err != nil {
		return s, err
	}
	for _, name := range want.forwarding {
		if value, err := m.Kernel.Sysctl(name); err != nil {
			return s, err
		} else if value == "0" { // IPv6 has a 2 as well
			s.closed = append(s.closed, name)
		}
	}
	return s, nil
}

// wanted is what the machine is to have.
type wanted struct {
	// own and former are the ranges of this node's pods, and pods those of all.
	own, former, pods []netip.Prefix
	// gateways are the addresses of the bridge that pods have as theirs, the own ranges' first.
	gateways []netip.Prefix
	routes   []Route
	// forwarding are the parameters that must not be 0.
	forwarding []string
}

// faults are what is missing of the pod network or wrong about it, each with its name and what comes of it. What others follow
// from comes first, and they are left out.
func faults(want wanted, pods []attachment, s sighting) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	switch {
	case len(pods) == 0: // the plugin makes the bridge, or sets it right, when it attaches a pod
	case !s.bridge.Exists:
		say("the bridge %s is gone, and pods are cut off: %s", Bridge, names(pods))
	case !s.bridge.Up:
		say("the bridge %s is down, and pods are cut off: %s", Bridge, names(pods))
	}
	for _, address := range want.gateways {
		if s.bridge.Exists && !slices.Contains(s.addresses, address) {
			say("the bridge %s lacks the address %s, pods' gateway", Bridge, address)
		}
	}
	found = append(found, portFaults(pods, s)...)
	if !s.masquerades {
		say("the nftables table inet %s lacks its rules, and pods do not reach what is outside of the cluster", Table)
	}
	for _, name := range s.closed {
		say("the parameter %s is 0, and packets of pods are not forwarded", name)
	}
	for _, r := range want.routes {
		if !slices.Contains(s.routes, r) {
			say("the route %s is gone", r)
		}
	}
	return found
}

// cutOff ends what is said of a pod that nobody can put back on the bridge.
const cutOff = "is gone, and the pod is cut off: delete the pod, so that another takes its place"

// portFaults are those of the pods' links.
func portFaults(pods []attachment, s sighting) []string {
	var found []string
	for _, a := range pods {
		port, on := s.bridge.Ports[a.port]
		wrong := ""
		switch {
		case slices.Contains(s.gone, a.port):
			wrong = cutOff
		case !s.bridge.Exists: // which says it all
		case !on:
			wrong = "is not on the bridge " + Bridge
		case !port.Up:
			wrong = "is down"
		case !port.Hairpin:
			wrong = "is not in hairpin mode, and the pod does not reach itself by a Service"
		}
		if wrong != "" {
			found = append(found, fmt.Sprintf("the link %s of the pod %s %s", a.port, a.pod, wrong))
		}
	}
	return found
}

func names(pods []attachment) string {
	var all []string
	for _, a := range pods {
		all = append(all, a.pod)
	}
	slices.Sort(all)
	return finding.List(all)
}

// gateways are the addresses that the bridge needs for its pods, those of the own ranges first; see readdress. Without a pod it
// needs none: the plugin gives it the right one.
func gateways(pods []attachment, own []netip.Prefix, taken func(netip.Prefix) bool) (needed []netip.Prefix) {
	for _, a := range pods {
		for _, g := range a.gateways {
			ours := slices.Contains(own, g.Masked())
			if slices.Contains(needed, g) || !ours && (slices.ContainsFunc(own, g.Overlaps) || taken(g.Masked())) {
				continue
			}
			needed = append(needed, g)
		}
	}
	rank := func(g netip.Prefix) int {
		if i := slices.Index(own, g.Masked()); i >= 0 {
			return i
		}
		return len(own)
	}
	slices.SortStableFunc(needed, func(a, b netip.Prefix) int { return rank(a) - rank(b) })
	return needed
}

// taken says whether a range is another Node's.
func taken(self string, nodes []Node) func(netip.Prefix) bool {
	return func(cidr netip.Prefix) bool {
		return slices.ContainsFunc(nodes, func(n Node) bool { return n.Name != self && slices.ContainsFunc(n.PodCIDRs, cidr.Overlaps) })
	}
}

// forwarding are the kernel's parameters without which pods of these ranges reach nobody beyond the bridge, but for those
// that the pool's template turns off itself.
func forwarding(own []netip.Prefix, sysctls map[string]string) []string {
	var names []string
	for _, cidr := range own {
		name := "net.ipv4.ip_forward"
		if !cidr.Addr().Is4() {
			name = "net.ipv6.conf.all.forwarding"
		}
		if value, set := sysctls[name]; !slices.Contains(names, name) && (!set || strings.TrimSpace(value) != "0") {
			names = append(names, name)
		}
	}
	return names
}
