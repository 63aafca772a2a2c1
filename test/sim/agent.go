package sim

import (
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// kick has a machine's agent look at what it is told.
func (w *world) kick(name string) {
	b := w.boxes[name]
	if b == nil || b.busy || !b.booted || b.off {
		return
	}
	b.busy = true
	w.after(w.takes(300*time.Millisecond, 6*time.Second, "looks", b), func() { w.agentStep(b) })
}

// agentStep takes a machine's agent one step on the way to what it is told, and has it take the next.
func (w *world) agentStep(b *box) {
	b.busy = false
	agent := w.agent(b.name)
	if agent == nil || w.machine(b.name) == nil || b.off || b.silent.After(w.now) {
		return
	}
	status := *agent.Status.DeepCopy()
	status.AgentVersion = "v0.1.0"
	b.hears(agent)
	goesOn := w.next(b, agent, &status)
	status.FailedRevision, status.Agent = b.failed, b.programOf()
	if !goesOn {
		w.treat(b, agent, &status)
	}
	edit(w.api, agents, b.name, func(a *v1alpha1.NodeAgent) { a.Status = status })
	w.refresh(b)
	if goesOn {
		b.busy = true
		low, high := 500*time.Millisecond, 4*time.Second
		if status.Phase == v1alpha1.PhaseProbation {
			low, high = 5*time.Second, 40*time.Second
		}
		w.after(w.takes(low, high, "step", b), func() { w.agentStep(b) })
	}
}

// next changes an agent's status by a step. It says whether there is another.
func (w *world) next(b *box, a *v1alpha1.NodeAgent, s *v1alpha1.NodeAgentStatus) bool {
	told := a.Spec.Revision
	switch {
	case s.ObservedGeneration != a.Generation && told == b.good: // another fact of the cluster, or back before anything was tried
		b.disturbed, b.denied = false, ""
		s.ObservedGeneration, s.Phase, s.CurrentRevision = a.Generation, v1alpha1.PhaseCommitted, told
		b.wentBack = w.now // which it may have to say of its agent
		return agentDue(a)
	case s.ObservedGeneration != a.Generation && told == b.denied: // somebody deleted its NodeAgent, which was made anew
		s.ObservedGeneration, s.Phase, s.CurrentRevision = a.Generation, v1alpha1.PhaseRolledBack, b.good
		return false
	case s.ObservedGeneration != a.Generation:
		b.denied = ""
		s.ObservedGeneration, s.Phase = a.Generation, v1alpha1.PhaseStaging
		return true
	case s.Phase == v1alpha1.PhaseStaging:
		s.Phase = v1alpha1.PhaseActivating
		b.throws++
		b.disturbed = !w.oneIn(4, "disturbs", b.name, b.throws)
		return true
	case s.Phase == v1alpha1.PhaseActivating:
		s.Phase, s.CurrentRevision, s.PreviousRevision = v1alpha1.PhaseProbation, told, b.good
		if !bad(*a.Spec.Kubelet.MaxPods) && b.good == "" {
			w.join(b)
		}
		return true
	case s.Phase == v1alpha1.PhaseProbation && bad(*a.Spec.Kubelet.MaxPods):
		if b.good == "" {
			return false // there is nothing to go back to
		}
		b.disturbed = false
		s.Phase, s.CurrentRevision = v1alpha1.PhaseRolledBack, b.good
		b.wentBack = w.now
		b.denied, b.failed = told, &v1alpha1.FailedRevision{Revision: told, Reason: v1alpha1.ReasonExited, Component: v1alpha1.ComponentKubelet}
		w.tally.Rollbacks++
		w.say("%s goes back from %s to %s", b.name, told, b.good)
		return false
	case s.Phase == v1alpha1.PhaseProbation:
		b.disturbed = false
		s.Phase = v1alpha1.PhaseCommitted
		if b.good == "" {
			w.join(b) // a foreign Node may have been in the way
		}
		b.good = told
		w.say("%s runs %s", b.name, told)
		b.wentBack = w.now
		return agentDue(a)
	case s.Phase == v1alpha1.PhaseCommitted && agentDue(a):
		w.changesAgent(b, a.Spec.Agent.Version)
		return false
	default:
		return false
	}
}
