package planner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// simulated are the revisions that pools of the simulation have: r3 is of another infrastructure, and r4 what users turn to
// in the end.
var simulated = []string{"r0", "r1", "r2", "r3", "r4"}

// minor says that a revision is of another minor version of Kubernetes than the others.
func minor(revision string) bool { return revision == "r1" }

func elsewhere(revision string) bool { return revision == "r3" }

// contentsFor are the simulated revisions, as seen from a target. r0, r2 and r4 name an agent.
func contentsFor(target string) map[string]Content {
	contents := map[string]Content{}
	for i, revision := range simulated {
		spec := &v1alpha1.NodeAgentSpec{Revision: revision, Version: "v1.36.5"}
		if minor(revision) {
			spec.Version = "v1.37.2"
		}
		spec.Kubelet.MaxPods = ptr.To(int32(10 + i)) //nolint:gosec // small
		if i%2 == 0 {
			spec.Agent = agentRelease("v" + strconv.Itoa(i))
		}
		contents[revision] = Content{Spec: spec, Elsewhere: elsewhere(revision) != elsewhere(target)}
	}
	return contents
}

// writeAgent replaces a NodeAgent if it still has that version; "" means any.
func (w *world) writeAgent(name, version string, edit func(*v1alpha1.NodeAgent)) bool {
	if w.agents[name] == nil || version != "" && w.agents[name].ResourceVersion != version {
		w.conflicts++
		return false
	}
	agent := w.agents[name].DeepCopy()
	edit(agent)
	w.version++
	agent.ResourceVersion = strconv.Itoa(w.version)
	w.agents[name] = agent
	return true
}

// ensureAgent makes the NodeAgent of a machine, with the revision that the machine was made from.
func (w *world) ensureAgent(m *clusterv1.Machine) {
	if w.agents[m.Name] != nil {
		return
	}
	w.version++
	revision := m.Labels[v1alpha1.RevisionLabel]
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, Generation: 1, ResourceVersion: strconv.Itoa(w.version), Labels: map[string]string{v1alpha1.MachineUIDLabel: string(m.UID)},
	}}
	agent.Spec = *contentsFor(revision)[revision].Spec
	w.agents[m.Name] = agent
}

// agentsProgress lets agents take a step each on the way to what they were told.
func (w *world) agentsProgress(chance float64) {
	for _, name := range slices.Sorted(maps.Keys(w.agents)) {
		if w.machines[name] == nil {
			delete(w.agents, name)
			delete(w.good, name)
			delete(w.changed, name)
			delete(w.cordoned, name)
			continue
		}
		if w.silent[name] || w.rng.Float64() >= chance {
			continue
		}
		if next := w.agents[name].DeepCopy(); w.agentStep(name, next) {
			w.writeAgent(name, "", func(a *v1alpha1.NodeAgent) { a.Status = next.Status })
		}
		if agent := w.agents[name]; w.changed[name] > 0 && settledForReal(agent) {
			delete(w.changed, name)
		}
	}
}

func settledForReal(a *v1alpha1.NodeAgent) bool {
	if a.Status.Phase == v1alpha1.PhaseCommitted && !hasItsAgent(a) && !gaveItsAgentUp(a) {
		return false
	}
	return a.Status.ObservedGeneration == a.Generation && (a.Status.Phase == v1alpha1.PhaseCommitted || a.Status.Phase == v1alpha1.PhaseRolledBack)
}

// hasItsAgent and gaveItsAgentUp say what became of the version of the agent that a node is told to have.
func hasItsAgent(a *v1alpha1.NodeAgent) bool {
	return a.Spec.Agent == nil || a.Status.Agent != nil && a.Status.Agent.Digest == digestOf(a.Spec.Agent.Version, "arm64")
}

func gaveItsAgentUp(a *v1alpha1.NodeAgent) bool {
	return a.Spec.Agent != nil && a.Status.Agent != nil && a.Status.Agent.Failed != nil && a.Status.Agent.Failed.Version == a.Spec.Agent.Version
}

// agentStep says whether there was one to take.
func (w *world) agentStep(name string, a *v1alpha1.NodeAgent) bool {
	s, told, good := &a.Status, a.Spec.Revision, w.good[name]
	switch {
	case s.ObservedGeneration != a.Generation && told == good && s.CurrentRevision == good:
		s.ObservedGeneration, s.Phase = a.Generation, v1alpha1.PhaseCommitted
	case s.ObservedGeneration != a.Generation:
		s.ObservedGeneration, s.Phase = a.Generation, v1alpha1.PhaseStaging
	case s.Phase == v1alpha1.PhaseStaging:
		s.Phase = v1alpha1.PhaseActivating
	case s.Phase == v1alpha1.PhaseActivating:
		s.Phase, s.CurrentRevision, s.PreviousRevision = v1alpha1.PhaseProbation, told, good
	case s.Phase == v1alpha1.PhaseProbation && w.rng.IntN(8) == 0: // the agent is started again
		s.Phase = v1alpha1.PhaseActivating
	case s.Phase == v1alpha1.PhaseProbation && good != "" && good != told && w.bad[told] && w.rng.IntN(4) > 0:
		s.Phase, s.CurrentRevision = v1alpha1.PhaseRolledBack, good
		s.FailedRevision = &v1alpha1.FailedRevision{Revision: told, Reason: v1alpha1.ReasonExited, Component: v1alpha1.ComponentKubelet}
		w.rollbacks++
		w.note("%s goes back from %s", name, told)
	case s.Phase == v1alpha1.PhaseProbation:
		s.Phase, w.good[name] = v1alpha1.PhaseCommitted, told
		w.commits++
		w.note("%s runs %s", name, told)
	case s.Phase == v1alpha1.PhaseCommitted && s.ObservedGeneration == a.Generation && !hasItsAgent(a) && !gaveItsAgentUp(a):
		s.Agent = s.Agent.DeepCopy()
		if w.bad[told] && w.rng.IntN(2) == 0 {
			gaveUpAgent(a.Spec.Agent.Version)(a)
			w.agentsGivenUp++
			w.note("%s gives up the agent of %s", name, told)
			break
		}
		s.Agent = nil
		hasProgram(a.Spec.Agent.Version)(a)
		w.agentChanges++
	case isAskedForMore(a):
		w.treat(name, a)
	default:
		return false
	}
	return true
}

// factChanges is a new certificate authority, say: every NodeAgent gets it at once.
func (w *world) factChanges() {
	for _, name := range slices.Sorted(maps.Keys(w.agents)) {
		w.writeAgent(name, "", func(a *v1alpha1.NodeAgent) { a.Generation++ })
	}
}

// updateMachine gives a machine's agent another revision, by a plan that let so many be unavailable, and holds that to the invariants.
func (m *manager) updateMachine(a Action, version string, most int, exclusive bool) bool {
	agent, machine := m.world.agents[a.Name], m.world.machines[a.Name]
	if agent == nil || machine == nil || agent.ResourceVersion != version {
		m.conflicts++
		return false
	}
	hasNode := agent.Status.CurrentRevision != ""
	var beside []string
	limit := most
	for _, other := range m.world.machines.list() {
		otherAgent := m.world.agents[other.Name]
		if other.Name == a.Name || otherAgent == nil || !other.DeletionTimestamp.IsZero() {
			continue
		}
		if m.changed[other.Name] > 0 {
			beside = append(beside, other.Name+" on its way to "+otherAgent.Spec.Revision)
			if len(m.managers) > 1 { // Both were named when that many might be unavailable, and another manager changes them.
				limit = max(limit, m.changed[other.Name])
			}
		}
		// Where several begin at once, one may be back before the next is written.
		if failed := otherAgent.Status.FailedRevision; most == 1 && hasNode && otherAgent.Status.Phase == v1alpha1.PhaseRolledBack && failed.Revision == a.Revision {
			m.fail("%s is given %s, from which %s went back", a.Name, a.Revision, other.Name)
		}
	}
	if hasNode && len(beside) >= limit && !m.neverWorked(a.Name) {
		m.fail("%d nodes are changed at once, where %d may be: %s is given %s beside %v", len(beside)+1, limit, a.Name, a.Revision, beside)
	}
	if runs := agent.Status.CurrentRevision; hasNode && minor(runs) != minor(a.Revision) && !m.world.cordoned[a.Name] && exclusive {
		// Another leader may have had it under way to uncordon it.
		m.fail("%s goes from %s to %s with its pods", a.Name, runs, a.Revision)
	}
	if agent.Spec.Revision == a.Revision {
		m.fail("%s is given %s, which it has", a.Name, a.Revision)
	}
	if elsewhere(machine.Labels[v1alpha1.RevisionLabel]) != elsewhere(a.Revision) {
		m.fail("%s was made from another infrastructure than %s, and is given it", a.Name, a.Revision)
	}
	m.note("%s is given %s: %s", a.Name, a.Revision, a.Reason)
	m.updates++
	if hasNode {
		m.changed[a.Name] = most
		m.together += min(len(beside), 1)
	}
	ok := m.writeAgent(a.Name, version, func(agent *v1alpha1.NodeAgent) {
		agent.Spec = *contentsFor(a.Revision)[a.Revision].Spec
		agent.Generation++
	})
	m.wroteAgents[a.Name] = m.world.agents[a.Name].ResourceVersion
	return ok
}

// neverWorked says that nothing has proved itself yet on a node, nor on any of those that are changed beside it: all wait for these, and
// what the first of them is given may be its cure.
func (m *manager) neverWorked(name string) bool {
	for other := range m.changed {
		if m.good[other] != "" {
			return false
		}
	}
	return m.good[name] == ""
}

// drain cordons a node and says whether it is empty.
func (m *manager) drain(a Action) bool {
	if m.world.machines[a.Name] == nil {
		return false
	}
	m.drains++
	m.world.cordoned[a.Name] = true
	return m.rng.IntN(2) == 0
}

// uncordon lets pods back onto a node, which nobody else may have begun to change meanwhile. What a manager that lost its lease has under
// way its successor cannot know of, nor the other way round: exclusive says that no other one led since that was planned.
func (m *manager) uncordon(a Action, exclusive bool) bool {
	if agent := m.world.agents[a.Name]; exclusive && agent != nil && m.world.cordoned[a.Name] && m.changed[a.Name] > 0 && !settledForReal(agent) {
		m.fail("%s is uncordoned on its way to %s: %+v", a.Name, agent.Spec.Revision, agent.Status)
	}
	delete(m.world.cordoned, a.Name)
	return true
}

// observeAgents is as package nodepool's.
func (m *manager) observeAgents(s *Snapshot, confirm []string) {
	s.Agents, s.Cordoned = maps.Clone(m.agents), maps.Clone(m.cordoned)
	live := func(name string) {
		if agent := m.world.agents[name]; agent != nil {
			s.Agents[name] = agent
		} else {
			delete(s.Agents, name)
		}
	}
	for name, version := range m.wroteAgents {
		if agent := s.Agents[name]; agent != nil && older(agent.ResourceVersion, version) {
			live(name)
		}
	}
	if s.Confirmed {
		s.Sure = map[string]bool{}
		for _, name := range slices.Concat(confirm, s.Pool.Status.Updating) {
			live(name)
			s.Sure[name], s.Cordoned[name] = true, m.world.cordoned[name]
		}
		s.Machines = m.sureMachines(s)
	}
}

// sureMachines are the cached Machines, but those that the snapshot is sure of as they are.
func (m *manager) sureMachines(s *Snapshot) []*clusterv1.Machine {
	var list []*clusterv1.Machine
	for _, one := range s.Machines {
		if s.Sure[one.Name] {
			one = m.world.machines[one.Name]
		}
		if one != nil {
			list = append(list, one)
		}
	}
	return list
}

func older(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }

// notUpdated says which machine does not run what it should in a world that has healed.
func (w *world) notUpdated() error {
	for _, m := range w.machines.list() {
		agent := w.agents[m.Name]
		if agent == nil || !settledForReal(agent) || !hasItsAgent(agent) || agent.Status.CurrentRevision != w.revision {
			return fmt.Errorf("%s does not run %s: %+v", m.Name, w.revision, agent)
		}
	}
	if len(w.cordoned) > 0 {
		return fmt.Errorf("still cordoned are %v", w.cordoned)
	}
	if n := w.pool.Status.UpdatedReplicas; n == nil || int(*n) != len(w.machines) || len(w.pool.Status.Updating) > 0 {
		return fmt.Errorf("the status does not say that all run %s: %+v", w.revision, w.pool.Status)
	}
	return nil
}
