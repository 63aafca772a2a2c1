package tree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Health orders siblings: problems come first.
type Health int

// The healths, worst first.
const (
	Bad Health = iota
	Pending
	Good
)

// Node is one line of the tree.
type Node struct {
	Name   string
	Health Health
	// Status is a word or two: Ready, NotReady, Running, Deleting.
	Status string
	// Since is when it was made or started; zero where that means nothing.
	Since time.Time
	// Heard is when the last word of it was written, by its own clock; zero where nobody knows.
	Heard time.Time
	// Reason says what is wrong, or what is notable.
	Reason   string
	Children []Node
}

// Build makes the tree, a root for each pool, one for each machine that no pool counts, and one for each server that serves none.
func Build(f *Fleet) []Node {
	agents := make(map[string]*v1alpha1.NodeAgent, len(f.Agents))
	for i := range f.Agents {
		agents[f.Agents[i].Name] = &f.Agents[i]
	}
	claimed := map[types.NamespacedName]*v1alpha1.Host{}
	for i := range f.Hosts {
		if h := &f.Hosts[i]; h.Status.Claim != nil {
			claimed[types.NamespacedName{Namespace: h.Namespace, Name: h.Status.Claim.Name}] = h
		}
	}
	machines := make(map[types.UID][]Node, len(f.Pools))
	for i := range f.Pools {
		machines[f.Pools[i].UID] = nil
	}
	var nobodys []Node
	for i := range f.Machines {
		m := &f.Machines[i]
		uid := types.UID(m.Labels[v1alpha1.PoolUIDLabel])
		n := machineNode(m, agents[m.Name], claimed[types.NamespacedName{Namespace: m.Namespace, Name: m.Name}])
		if _, counted := machines[uid]; counted {
			machines[uid] = append(machines[uid], n)
			continue
		}
		n.Name = fmt.Sprintf("Machine %s/%s", m.Namespace, m.Name)
		nobodys = append(nobodys, n)
	}
	roots := make([]Node, 0, len(f.Pools))
	for i := range f.Pools {
		p := &f.Pools[i]
		root := poolNode(p)
		root.Children = problemsFirst(machines[p.UID])
		roots = append(roots, root)
	}
	return slices.Concat(problemsFirst(roots), problemsFirst(nobodys), problemsFirst(freeHosts(f.Hosts)))
}

// freeHosts are the servers that serve nobody.
func freeHosts(hosts []v1alpha1.Host) []Node {
	var free []Node
	for i := range hosts {
		if h := &hosts[i]; h.Status.Claim == nil {
			n := hostNode(h)
			n.Name = fmt.Sprintf("Host %s/%s", h.Namespace, h.Name)
			free = append(free, n)
		}
	}
	return free
}

// problemsFirst sorts by health, then name.
func problemsFirst(nodes []Node) []Node {
	slices.SortStableFunc(nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Health, b.Health), strings.Compare(a.Name, b.Name))
	})
	return nodes
}

func poolNode(p *v1alpha1.NodePool) Node {
	n := Node{
		Name:  fmt.Sprintf("NodePool %s/%s", p.Namespace, p.Name),
		Since: p.CreationTimestamp.Time,
	}
	n.Status, n.Health, n.Reason = readiness(p.DeletionTimestamp, p.Status.Conditions)
	if stalled := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.StalledCondition); isTrue(stalled) {
		n.Status, n.Health, n.Reason = "Stalled", Bad, because(stalled)
	}
	if suspended := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.SuspendedCondition); isTrue(suspended) {
		n.Status, n.Health, n.Reason = "Suspended", Pending, because(suspended)
	}
	if blocked := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.DrainBlockedCondition); isTrue(blocked) {
		n.Health, n.Reason = Bad, because(blocked)
	}
	n.Status = fmt.Sprintf("%s %d/%d", n.Status, value(p.Status.ReadyReplicas), value(p.Spec.Replicas))
	if phase := underWay(p); phase != "" {
		n.Status += ", " + phase
	}
	return n
}

// underWay is the phase of a pool's rollout, with how many machines run what it is to; empty for one that is complete. A new pool has
// none: its machines are made.
func underWay(p *v1alpha1.NodePool) string {
	r := p.Status.Rollout
	if r == nil || p.DeletionTimestamp != nil || r.Phase == "" || r.Phase == v1alpha1.RolloutPhaseComplete {
		return ""
	}
	if r.Phase == v1alpha1.RolloutPhaseRolling && r.CompletedRevision == "" {
		return ""
	}
	return fmt.Sprintf("%s %d/%d", r.Phase, value(r.Updated), value(p.Spec.Replicas))
}

func machineNode(m *clusterv1.Machine, agent *v1alpha1.NodeAgent, host *v1alpha1.Host) Node {
	n := Node{Name: "Machine " + m.Name, Since: m.CreationTimestamp.Time}
	n.Status, n.Health, n.Reason = readiness(m.DeletionTimestamp, m.Status.Conditions)
	if n.Health == Good {
		n.Reason = address(m)
	}
	if host != nil {
		n.Children = append(n.Children, hostNode(host))
	}
	if agent != nil {
		n.Children = append(n.Children, agentNode(agent, unheard(m)))
	}
	return n
}

// hostNode is a server that somebody owns.
func hostNode(h *v1alpha1.Host) Node {
	n := Node{Name: "Host " + h.Name, Status: string(h.Status.State)}
	_, n.Health, n.Reason = readiness(h.DeletionTimestamp, h.Status.Conditions)
	if n.Health == Good {
		n.Reason = h.Spec.Address
	}
	return n
}

// unheard is the manager's finding that nobody keeps the agent's word up to date, or nil.
func unheard(m *clusterv1.Machine) *metav1.Condition {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	if c == nil || c.Status != metav1.ConditionUnknown || c.Reason != v1alpha1.ReasonNotReported {
		return nil
	}
	return c
}

// address is the machine's first internal one.
func address(m *clusterv1.Machine) string {
	for _, a := range m.Status.Addresses {
		if a.Type == clusterv1.MachineInternalIP {
			return a.Address
		}
	}
	return ""
}

// agentNode is the agent and, below it, its components. Of an agent that is not heard of any more, what it said last is
// what was, not what is.
func agentNode(a *v1alpha1.NodeAgent, silence *metav1.Condition) Node {
	n := Node{Name: "agent", Since: a.CreationTimestamp.Time, Heard: a.Status.HeartbeatTime.Time}
	n.Status, n.Health, n.Reason = readiness(a.DeletionTimestamp, a.Status.Conditions)
	if n.Health != Good {
		if broken := unhealthy(a.Status.Conditions); broken != "" {
			n.Reason = broken
		}
	} else {
		n.Reason = a.Status.AgentVersion
	}
	if way := onTheWay(a); way != "" {
		n.Reason = strings.TrimSuffix(way+"; "+n.Reason, "; ")
		n.Health = min(n.Health, Pending)
		if a.Status.Phase == v1alpha1.PhaseRolledBack {
			n.Health = Bad
		}
	}
	for _, c := range a.Status.Components {
		n.Children = append(n.Children, componentNode(c))
	}
	if silence != nil && a.DeletionTimestamp == nil {
		n.Status, n.Health, n.Reason = "Unknown", Bad, because(silence)
		for i := range n.Children {
			n.Children[i].Reason = fmt.Sprintf("was %s when last heard of", n.Children[i].Status)
			n.Children[i].Status, n.Children[i].Health = "Unknown", Pending
		}
	}
	n.Children = problemsFirst(n.Children)
	return n
}

// onTheWay tells what the node runs where that is not what it is to run, or has yet to prove itself.
func onTheWay(a *v1alpha1.NodeAgent) string {
	s, told := a.Status, a.Spec.Revision
	switch {
	case s.CurrentRevision == "" || s.Phase == v1alpha1.PhaseCommitted && s.CurrentRevision == told:
		return "" // it is coming up for the first time, or there
	case s.Phase == v1alpha1.PhaseRolledBack && s.ObservedGeneration == a.Generation && s.FailedRevision != nil:
		return fmt.Sprintf("runs revision %s, went back from %s: %s", s.CurrentRevision, s.FailedRevision.Revision, cmp.Or(s.FailedRevision.Message, s.FailedRevision.Reason))
	case s.ObservedGeneration != a.Generation:
		return fmt.Sprintf("runs revision %s, is to run %s", s.CurrentRevision, told)
	case s.CurrentRevision == told && s.PreviousRevision == "":
		return "" // its first probation
	case s.CurrentRevision == told:
		return fmt.Sprintf("runs revision %s, in %s", told, s.Phase)
	default:
		return fmt.Sprintf("runs revision %s, is to run %s: %s", s.CurrentRevision, told, s.Phase)
	}
}

// unhealthy tells the conditions other than Ready that are not True.
func unhealthy(conditions []metav1.Condition) string {
	var broken []string
	for i := range conditions {
		if c := &conditions[i]; c.Type != v1alpha1.ReadyCondition && c.Status != metav1.ConditionTrue {
			broken = append(broken, fmt.Sprintf("%s: %s", c.Type, because(c)))
		}
	}
	return strings.Join(broken, "; ")
}

func componentNode(c v1alpha1.ComponentStatus) Node {
	n := Node{Name: c.Name, Status: string(c.State), Since: c.StartedAt.Time, Health: Pending, Reason: c.Version}
	switch c.State {
	case v1alpha1.ComponentRunning, v1alpha1.ComponentDisabled:
		n.Health = Good
	case v1alpha1.ComponentBackOff, v1alpha1.ComponentStopped:
		n.Health = Bad
	}
	if restarts := value(c.Restarts); restarts > 0 {
		n.Reason += fmt.Sprintf(", restarted %d×", restarts)
		if c.LastExit != nil {
			n.Reason += ", last " + exit(c.LastExit)
		}
	}
	n.Reason = strings.TrimPrefix(n.Reason, ", ")
	return n
}

func exit(e *v1alpha1.ComponentExit) string {
	switch {
	case e.Reason == v1alpha1.ReasonHung:
		return "ended by the agent as it hung"
	case e.Signal != "":
		return "ended by " + e.Signal
	case e.Code != nil:
		return fmt.Sprintf("exit code %d", *e.Code)
	default:
		return "exit unknown"
	}
}

// readiness tells the state from the Ready condition. What is not Ready with a status of False is a problem; what has
// not said anything yet is only pending.
func readiness(deleted *metav1.Time, conditions []metav1.Condition) (status string, health Health, reason string) {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
	switch {
	case deleted != nil:
		status, health = "Deleting", Pending
		if deleting := meta.FindStatusCondition(conditions, clusterv1.MachineDeletingCondition); isTrue(deleting) {
			return status, health, because(deleting)
		}
	case ready == nil:
		return "Pending", Pending, ""
	case ready.Status == metav1.ConditionTrue:
		return "Ready", Good, ""
	case ready.Status == metav1.ConditionUnknown:
		status, health = "Unknown", Pending
	default:
		status, health = "NotReady", Bad
	}
	if ready != nil && ready.Status != metav1.ConditionTrue {
		reason = because(ready)
	}
	return status, health, reason
}

// because is a condition's message on one line, or its reason.
func because(c *metav1.Condition) string {
	if text := strings.Join(strings.Fields(c.Message), " "); text != "" {
		return text
	}
	return c.Reason
}

func isTrue(c *metav1.Condition) bool { return c != nil && c.Status == metav1.ConditionTrue }

// value is what p points to, or zero.
func value(p *int32) int32 {
	if p == nil {
		return 0
	}
	return *p
}
