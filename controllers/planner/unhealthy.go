package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// evidence is how one can tell that a machine is unhealthy.
type evidence string

const (
	// evidenceSilent: the kubelet of its Node does not renew its Lease. The node may be dead, or cut off.
	evidenceSilent evidence = "Silent"
	// evidenceUnwell: its agent, its kubelet or its provider says so.
	evidenceUnwell evidence = "Unwell"
	// evidenceNotJoined: it has not become a node in the time that it has for that.
	evidenceNotJoined evidence = "NotJoined"
	// evidenceGone: what it runs on was deleted.
	evidenceGone evidence = "InfrastructureGone"
	// evidenceAsked: somebody asks to have it remediated, and nothing else is known of it.
	evidenceAsked evidence = "RemediationAsked"
)

// notTheMachines are reasons of AgentHealthy that speak of what the manager could not do for a machine. Another one would fare no better.
var notTheMachines = []string{
	v1alpha1.ReasonNodeNameTaken, v1alpha1.ReasonDiscoveryFailed, v1alpha1.ReasonRevisionUnusable, v1alpha1.ReasonNodeAgentRefused,
	v1alpha1.ReasonTemplateNotApplied, v1alpha1.ReasonNoPool,
}

// nothingToRunOn are reasons of InfrastructureReady for which another machine would wait as this one does.
var nothingToRunOn = []string{v1alpha1.ReasonNoHost, v1alpha1.ReasonAddressesExhausted}

// patient is a machine that is unhealthy.
type patient struct {
	*machine
	evidence evidence
	// since is since when that counts.
	since time.Time
	// asked is since when it counts that somebody asks to have it remediated; zero for nobody.
	asked time.Time
	// rung is what is done about it next, and at when; empty for nothing.
	rung v1alpha1.RepairRung
	at   time.Time
	// passed are the rungs before it that cannot be taken.
	passed []string
}

// examine finds out whether a machine is unhealthy, or somebody says so; nil when neither is.
func (f *fleet) examine(m *machine) *patient {
	p, asked := f.diagnose(m), askedSince(m.Machine)
	if p == nil && !asked.IsZero() {
		p = &patient{machine: m, evidence: evidenceAsked, since: asked}
	}
	if p != nil {
		p.asked = asked
	}
	return p
}

func newPatient(m *machine, by evidence, since time.Time) *patient {
	return &patient{machine: m, evidence: by, since: since}
}

// diagnose finds out whether a machine is unhealthy; nil when it is not, or when nobody can tell. A machine that is on its way to
// something, and says so, is not.
func (f *fleet) diagnose(m *machine) *patient {
	agent := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	infra := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	node := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineNodeReadyCondition)
	switch {
	case InfrastructureDeleted(m.Status.Conditions):
		return newPatient(m, evidenceGone, infra.LastTransitionTime.Time)
	case agent == nil || agent.Status == metav1.ConditionTrue || slices.Contains(notTheMachines, agent.Reason):
		return nil
	case !m.worked():
		return f.neverJoined(m, agent)
	case m.isOff():
		return newPatient(m, evidenceUnwell, infra.LastTransitionTime.Time)
	case node != nil && node.Reason == clusterv1.MachineNodeReadyUnknownReason:
		return newPatient(m, evidenceSilent, later(agent.LastTransitionTime.Time, node.LastTransitionTime.Time))
	case agent.Reason == v1alpha1.ReasonNotReported && (node == nil || node.Status != metav1.ConditionFalse):
		return nil // The agent alone is silent. The kubelet is not, and runs its pods, or it is us who hear nothing.
	case m.agent == nil || !m.settled() && !m.beingTreated():
		return nil // It is being changed, and goes back by itself where that does not work.
	default:
		return newPatient(m, evidenceUnwell, agent.LastTransitionTime.Time)
	}
}

// Health is what the planner looks at in a Machine to find out whether it is unhealthy, beside what its agent says: a kubelet that is
// silent or not ready, a machine that is off or gone, and what others say of it. Zero for one of which nothing of the kind is known.
func Health(m *clusterv1.Machine) (said struct {
	Node, Infrastructure string
	Asked, TakenBack     bool
}) {
	said.Asked, said.TakenBack = Asked(m), takenBack(m)
	for _, c := range m.Status.Conditions {
		switch {
		case c.Type == clusterv1.MachineNodeReadyCondition && slices.Contains([]string{clusterv1.MachineNodeReadyUnknownReason, clusterv1.MachineNodeNotReadyReason}, c.Reason):
			said.Node = c.Reason
		case c.Type == clusterv1.MachineInfrastructureReadyCondition && slices.Contains([]string{clusterv1.MachineInfrastructureDeletedReason, v1alpha1.ReasonStopped}, c.Reason):
			said.Infrastructure = c.Reason
		}
	}
	return said
}

// neverJoined finds out whether a machine on which nothing has worked yet has had its time.
func (f *fleet) neverJoined(m *machine, agent *metav1.Condition) *patient {
	deadline := f.joinsUntil(m)
	if m.lacks() != nil || f.Now.Before(deadline) {
		return nil
	}
	return newPatient(m, evidenceNotJoined, later(agent.LastTransitionTime.Time, deadline))
}

// lacks is that there is nothing for the machine to run on; nil where that is not so.
func (m *machine) lacks() *metav1.Condition {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	if c == nil || c.Status != metav1.ConditionFalse || !slices.Contains(nothingToRunOn, c.Reason) {
		return nil
	}
	return c
}

// worked says that the machine was a node on which something has proved itself.
func (m *machine) worked() bool { return m.joined() && !m.unproven() }

// isOff says that the provider has the machine as off.
func (m *machine) isOff() bool {
	infra := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	return infra != nil && infra.Status == metav1.ConditionFalse && infra.Reason == v1alpha1.ReasonStopped
}

// isHeard says that the kubelet of its Node renews its Lease, well or not.
func (m *machine) isHeard() bool {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineNodeReadyCondition)
	return c != nil && c.Status != metav1.ConditionUnknown
}

// isUnheard says that the kubelet of its Node does not, or that nobody can tell. Of a machine that has no Node neither is so.
func (m *machine) isUnheard() bool {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineNodeReadyCondition)
	return c != nil && (c.Reason == clusterv1.MachineNodeReadyUnknownReason || c.Reason == clusterv1.MachineNodeConnectionDownReason)
}

// joinsUntil is until when a machine has time to join; zero for one that has joined.
func (f *fleet) joinsUntil(m *machine) time.Time {
	if m.worked() {
		return time.Time{}
	}
	return m.CreationTimestamp.Add(f.Pool.NodeStartupTimeout())
}

// says is what is wrong with it.
func (p *patient) says() string {
	return cmp.Or(Complaint(p.Machine), "it is not ready")
}

// held says that somebody wants it left as it is, by which annotation.
func (m *machine) held() string {
	for _, annotation := range []string{v1alpha1.ForensicHoldAnnotation, clusterv1.MachineSkipRemediationAnnotation} {
		if _, is := m.Annotations[annotation]; is {
			return annotation
		}
	}
	return ""
}

func (p *patient) why() string {
	return fmt.Sprintf("it is unhealthy since %s: %s%s%s", p.since.UTC().Format(time.RFC3339), p.says(), p.passedOver(), p.unanswered())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
