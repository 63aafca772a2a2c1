package planner

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// ladders are those that users of the simulation think of.
var ladders = [][]v1alpha1.RepairRung{{anew}, {restarts, anew}, {restarts, reboots, anew}, {restarts, reboots}, {reboots, anew}}

// isAskedForMore says that an agent has a request that it has not looked at.
func isAskedForMore(a *v1alpha1.NodeAgent) bool {
	return a.Spec.Repair != nil && (a.Status.Repair == nil || a.Status.Repair.RequestedAt.Before(&a.Spec.Repair.RequestedAt))
}

// illness is what happens in a step, of a hundred things that may: while an illness lingers little more than that the managers, and the
// agents, see to it. Otherwise all machines recover before there is a second rung.
func (w *world) illness(n int) int {
	if w.lingers == 0 {
		return n
	}
	w.lingers--
	switch {
	case n < 70, n >= 85 && n < 87: // a manager acts, is told something, or crashes
		return n
	case n < 90:
		return 80 // agents get on
	default:
		return 0
	}
}

// treat is an agent that does what it is asked for, if that is not too late. It helps one in three times.
func (w *world) treat(name string, a *v1alpha1.NodeAgent) {
	request := a.Spec.Repair
	a.Status.Repair = &v1alpha1.RepairAnswer{Rung: request.Rung, RequestedAt: request.RequestedAt, State: v1alpha1.RepairDone}
	if request.ExpiresAt.Time.Before(w.now) {
		a.Status.Repair.State = v1alpha1.RepairExpired
		return
	}
	w.treated++
	w.note("%s does %s", name, request.Rung)
	if w.step%3 == 0 {
		w.writeMachine(name, func(m *clusterv1.Machine) { agentWell(m); nodeReady(m) })
	}
}

// queueTreatment is as package nodepool's: the status has the rung before the agent is asked for it, if its NodeAgent is as it was seen.
// A machine is never asked for a rung that it had, or for a lower one: no simulated day has the hour after which it is.
func (m *manager) queueTreatment(s Snapshot, a Action, repair *v1alpha1.MachineRepair, base **v1alpha1.NodePool) {
	m.queueBegin(repair, base)
	version := s.Agents[a.Name].ResourceVersion
	m.queue(true, func() bool {
		if one := m.agents[a.Name]; one != nil && one.ResourceVersion != version {
			m.dropped++
		}
		return m.writeAgent(a.Name, version, func(agent *v1alpha1.NodeAgent) {
			if had := agent.Spec.Repair; had != nil && slices.Index(rungs, had.Rung) >= slices.Index(rungs, a.Rung) {
				m.fail("%s is asked for %s at %s, and was for %s at %s", a.Name, a.Rung, repair.StartedAt, had.Rung, had.RequestedAt)
			}
			m.note("%s is asked for %s: %s", a.Name, a.Rung, a.Reason)
			agent.Spec.Repair = RequestOf(repair)
			agent.Generation++
		})
	})
}

// checkTreatments holds the rungs of a plan to the invariants that it can break by itself.
func (m *manager) checkTreatments(f *fleet, result Result) {
	for _, a := range result.Of(Treat) {
		switch {
		case wellIn(f.Snapshot, a.Name):
			m.fail("%s is asked for %s, and is well", a.Name, a.Rung)
		case !f.isConfirmed(a.Name):
			m.fail("%s is asked for %s on the ground of a cache", a.Name, a.Rung)
		case noneHeardIn(f.Snapshot), len(f.repair.patients) > mostUnhealthy(f.Pool, len(f.active)):
			m.fail("%s is asked for %s, where %d of %d are unhealthy", a.Name, a.Rung, len(f.repair.patients), len(f.active))
		case f.Now.Sub(m.startedAt) < time.Second:
			m.fail("%s is asked for %s %s after the manager has begun to listen", a.Name, a.Rung, f.Now.Sub(m.startedAt))
		case result.Repair == nil || result.Repair.Rung != a.Rung || result.Repair.MachineUID != string(a.UID):
			m.fail("%s is asked for %s, and the status is to have %+v", a.Name, a.Rung, result.Repair)
		}
	}
	for _, a := range append(result.Of(Treat), result.Of(Delete)...) {
		if a.Cause == Repair {
			m.checkRungsBelow(f, a)
		}
	}
}

// checkRungsBelow holds that a rung is taken after those below it in the pool's ladder: each of these was asked for where it counts, in the
// machine's NodeAgent, as what a manager has begun and never asked for was not tried; and the last of them had its time. Not where nobody
// would hear of them, or where somebody else asks for another machine, for a minute, or of one of
// which nothing else is known, as of one that is being changed.
func (m *manager) checkRungsBelow(f *fleet, a Action) {
	one, agent := machineIn(f.Snapshot, a.Name), f.Agents[a.Name]
	condemned := a.Rung == anew && Asked(one) && (f.Now.Sub(askedSince(one)) >= requestPatience || f.repair.patientOf(string(a.UID)).evidence == evidenceAsked)
	if !hearsIn(one, agent) || condemned {
		return
	}
	had := v1alpha1.RepairRung("")
	if request := agent.Spec.Repair; request != nil {
		had = request.Rung
		if since := f.Now.Sub(request.RequestedAt.Time); since < f.repair.timeout(a.Rung) {
			m.fail("%s is to be helped by %s %s after %s", a.Name, a.Rung, since, had)
		}
	}
	for _, rung := range f.Pool.Spec.Repair.Ladder {
		if slices.Index(rungs, rung) > slices.Index(rungs, had) && slices.Index(rungs, rung) < slices.Index(rungs, a.Rung) {
			m.fail("%s is to be helped by %s after %q, without %s, while its agent is heard", a.Name, a.Rung, had, rung)
		}
	}
}

// hearsIn says that the agent of a machine that is ill is heard, by what the simulation does to machines.
func hearsIn(one *clusterv1.Machine, agent *v1alpha1.NodeAgent) bool {
	if one == nil || agent == nil || !one.Status.NodeRef.IsDefined() || agent.Status.CurrentRevision == "" {
		return false
	}
	c := meta.FindStatusCondition(one.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason != v1alpha1.ReasonNotReported && !InfrastructureDeleted(one.Status.Conditions)
}
