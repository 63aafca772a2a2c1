package planner

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// machine is one of the pool's Machines, with what decisions about it rest on: what it is to run, what it runs, how it is, and
// what its NodeAgent has to say.
type machine struct {
	*clusterv1.Machine
	// ordinal is the number in its name.
	ordinal int64
	// agent is the NodeAgent of that very machine; nil while it has none.
	agent *v1alpha1.NodeAgent
	// told is the revision that it is to run, and proved the one that it runs and that has proved itself there; empty for none.
	told, proved string
	// due is the version of the agent that what it was told names, while it has no answer to that; gaveUp is the same version, where it
	// went back from that. Both are nil for none.
	due    *v1alpha1.AgentRelease
	gaveUp *v1alpha1.FailedAgent
	// ready and available are Cluster API's words for it. One that is being deleted is neither.
	ready, available bool
	// begun says that the pool's status names it among those that are changed, or that its Node was cordoned for it: a status can
	// be lost.
	begun bool
	// cordoned says that its Node was cordoned for the change.
	cordoned bool
}

// takeMachines sorts the Machines into those that stay, by ordinal, and those that are being deleted, by name.
func (f *fleet) takeMachines() {
	begun := make(map[string]bool, len(f.Pool.Status.Updating))
	for _, name := range f.Pool.Status.Updating {
		begun[name] = true
	}
	f.active = make([]*machine, 0, len(f.Machines))
	all := make([]machine, len(f.Machines))
	for i, m := range f.Machines {
		one := &all[i]
		*one = f.machine(m, begun[m.Name])
		if m.DeletionTimestamp.IsZero() {
			f.active = append(f.active, one)
		} else {
			f.leaving = append(f.leaving, one)
		}
	}
	slices.SortFunc(f.active, func(a, b *machine) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(f.leaving, func(a, b *machine) int { return cmp.Compare(a.Name, b.Name) })
}

func (f *fleet) machine(m *clusterv1.Machine, begun bool) machine {
	stays := m.DeletionTimestamp.IsZero()
	one := machine{
		Machine: m, agent: f.agentOf(m),
		ready:     stays && meta.IsStatusConditionTrue(m.Status.Conditions, clusterv1.MachineReadyCondition),
		available: stays && meta.IsStatusConditionTrue(m.Status.Conditions, clusterv1.MachineAvailableCondition),
		begun:     begun || f.Cordoned[m.Name], cordoned: f.Cordoned[m.Name],
	}
	if ordinal, ours := f.ordinal(m.Name); ours {
		one.ordinal = ordinal
		f.byOrdinal[ordinal] = m
	}
	if one.agent == nil {
		one.told = v1alpha1.ToldRevision(m)
		return one
	}
	one.told = one.agent.Spec.Revision
	f.takeRelease(&one)
	if one.agent.Status.Phase == v1alpha1.PhaseCommitted && f.hasReleaseOf(one.agent.Status.CurrentRevision, one.agent) {
		one.proved = one.agent.Status.CurrentRevision
	}
	return one
}

// agentOf is the NodeAgent of that very machine.
func (f *fleet) agentOf(m *clusterv1.Machine) *v1alpha1.NodeAgent {
	agent := f.Agents[m.Name]
	if agent == nil || agent.Labels[v1alpha1.MachineUIDLabel] != string(m.UID) {
		return nil
	}
	return agent
}

// joined says that pods may be on the machine.
func (m *machine) joined() bool {
	return m.Status.NodeRef.IsDefined() || m.agent != nil && m.agent.Status.CurrentRevision != ""
}

// well says that the machine's Node is there and healthy, and that its agent says so.
func (m *machine) well() bool { return m.ready && m.available }

// settled says that the agent has an answer to what it was told last: it runs it, or went back.
func (m *machine) settled() bool {
	phase := m.agent.Status.Phase
	return m.heardOf() && (phase == v1alpha1.PhaseCommitted && m.due == nil || phase == v1alpha1.PhaseRolledBack)
}

// heardOf says that the agent's status is about what it was told last.
func (m *machine) heardOf() bool { return m.agent.Status.ObservedGeneration == m.agent.Generation }

// runs says that a revision has proved itself on the machine.
func (m *machine) runs(revision string) bool { return revision != "" && m.proved == revision }

// wentBackFrom says that the machine was given a revision and went back to the one before, or to the agent before.
func (m *machine) wentBackFrom(revision string) bool {
	return m.rolledBackFrom(revision) || m.byItsAgent(revision)
}

func (m *machine) rolledBackFrom(revision string) bool {
	return m.agent != nil && m.agent.Status.Phase == v1alpha1.PhaseRolledBack && m.agent.Status.FailedRevision != nil && m.agent.Status.FailedRevision.Revision == revision
}

// comingUp says that the machine is on probation for the first time, with the revision that it was made from: nobody
// changed it.
func (m *machine) comingUp() bool {
	told, s := m.agent.Spec.Revision, m.agent.Status
	return told == m.Labels[v1alpha1.RevisionLabel] && s.PreviousRevision == "" && (s.CurrentRevision == "" || s.CurrentRevision == told) &&
		(m.heardOf() || m.agent.Generation <= 1)
}

// unproven says that nothing has proved itself on the machine yet: it is on probation with the first that it ever ran.
func (m *machine) unproven() bool {
	return m.agent != nil && m.agent.Status.Phase == v1alpha1.PhaseProbation && m.agent.Status.PreviousRevision == ""
}

// silent says that nothing is heard of the machine, or that there is nothing left to hear of.
func (m *machine) silent() bool {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	// One that never reported within its time has the status False. Without a Node it is free to be given anything.
	notReported := c != nil && c.Reason == v1alpha1.ReasonNotReported && (c.Status == metav1.ConditionUnknown || m.joined())
	return notReported || InfrastructureDeleted(m.Status.Conditions)
}
