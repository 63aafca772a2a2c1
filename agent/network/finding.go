package network

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Findings are what is wrong with the network in parts that the node is healthy without: whoever has to mend it finds it
// here, and the condition stays True, for pods run here and the node's own part of the network is in place.
func (m *Manager) Findings() []v1alpha1.Finding {
	m.mu.Lock()
	done, nodes, mended := m.done, m.nodes, m.mended
	m.mu.Unlock()
	var found []v1alpha1.Finding
	if len(done.former) > 0 {
		found = append(found, finding.Warning(finding.FormerPodRange, "there are pods with addresses of %s, which the Node had before it was made anew with %s: other nodes do not reach them; delete them, so that new ones take their place", done.former, done.own))
	}
	if len(done.unreachable) > 0 {
		var peers []string
		for _, r := range done.unreachable {
			peers = append(peers, fmt.Sprintf("%s (%s)", owner(nodes, r), r))
		}
		found = append(found, finding.Warning(finding.NodesUnreachable, "pods here do not reach those of nodes whose InternalIP is on no link of this one: correct the address, put the nodes on one L2 segment, or use a CNI of your own (network.mode External): %s", finding.List(peers)))
	}
	if len(done.refused) > 0 {
		var refused []string
		for _, r := range done.refused {
			refused = append(refused, r.String())
		}
		found = append(found, finding.Warning(finding.PodRangesRefused, "pod ranges of Nodes are not routed from here: find out who gave them these ranges, delete such a Node, and give the manager the cluster's ranges if they are others (--pod-cidrs): %s", finding.List(refused)))
	}
	if len(done.portsLost) > 0 {
		found = append(found, finding.Warning(finding.HostPortsLost, "the rules of the portmap plugin were taken out of the kernel, and these pods' ports of the node lead nowhere: delete the pods, so that those that take their place get them again, and find out what flushes rules that are not its own: %s", finding.List(done.portsLost)))
	}
	if len(mended.faults) > 0 && time.Since(mended.at) < remembered {
		found = append(found, finding.Warning(finding.NetworkMended, "something on the machine took a part of the pod network away, and it was made again at %s; find out what does that: %s", mended.at.UTC().Format(time.RFC3339), sentence(mended.faults)))
	}
	return found
}

// owner is the name of the Node that a route goes to.
func owner(nodes []Node, r Route) string {
	for _, n := range nodes {
		if slices.Contains(n.Addresses, r.Gateway) && slices.Contains(n.PodCIDRs, r.Destination) {
			return n.Name
		}
	}
	return "a node"
}
