package planner

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// simulatedPatience is for how many seconds machines of the simulation are unhealthy before they are replaced. It has few minutes.
const simulatedPatience = 3

// editRepair is a user who has a pool's machines repaired, or not.
func (w *world) editRepair() {
	most, ladder := mostUnavailable[w.rng.IntN(len(mostUnavailable))], ladders[w.step%len(ladders)]
	on := w.rng.IntN(4) > 0
	w.note("user: repairs %t by %v, with up to %s unhealthy", on, ladder, most)
	w.writePool("", func(p *v1alpha1.NodePool) {
		p.Generation++
		p.Spec.Repair = v1alpha1.NodePoolRepair{}
		if on {
			p.Spec.Repair = simulatedRepair(most, ladder...)
		}
	})
}

func simulatedRepair(most string, ladder ...v1alpha1.RepairRung) v1alpha1.NodePoolRepair {
	return v1alpha1.NodePoolRepair{
		Ladder: ladder, MaxUnhealthy: ptr.To(intstr.Parse(most)),
		Timeouts: v1alpha1.RepairTimeouts{RestartComponentSeconds: ptr.To(int32(1)), RebootSeconds: ptr.To(int32(1)), ReplaceSeconds: ptr.To(int32(simulatedPatience))},
	}
}

// falls has a machine fall ill, or silent.
func (w *world) falls(m *clusterv1.Machine, silently bool) {
	w.writeMachine(m.Name, func(m *clusterv1.Machine) {
		agentIll(m)
		nodeReady(m)
		if silently {
			agentSilent(m)
			nodeLapsed(m)
		}
		for i := range m.Status.Conditions {
			m.Status.Conditions[i].LastTransitionTime = metav1.NewTime(w.now)
		}
	})
}

// partition has nothing heard of any machine for a while.
func (w *world) partition() {
	w.partitions++
	w.note("nothing is heard of any machine")
	for _, m := range w.machines.list() {
		if m.DeletionTimestamp.IsZero() {
			w.silent[m.Name] = true
			w.falls(m, true)
		}
	}
}

// queueBegin is as package nodepool's: the status has a repair before anything is done.
func (m *manager) queueBegin(repair *v1alpha1.MachineRepair, base **v1alpha1.NodePool) {
	m.queue(true, func() bool {
		was := ptr.Deref((*base).Status.Repair, v1alpha1.NodePoolRepairStatus{})
		if equality.Semantic.DeepEqual(was.Current, repair) {
			return true
		}
		was.Current = repair
		if !m.writePool((*base).ResourceVersion, func(p *v1alpha1.NodePool) { p.Status.Repair = &was }) {
			return false
		}
		*base = m.world.pool
		m.wrotePool = (*base).ResourceVersion
		return true
	})
}

// queueRepair deletes the Machine, if that is as it was seen.
func (m *manager) queueRepair(s Snapshot, a Action, result Result, base **v1alpha1.NodePool, want, handDeleted int, exclusive func() bool) {
	m.queueBegin(result.Repair, base)
	seen := machineIn(s, a.Name)
	if answer := result.AnswerOf(a.Name); answer != nil {
		m.queueAnswer(&seen, *answer)
	}
	asked := seen != nil && Asked(seen)
	m.queue(true, func() bool {
		if m.world.machines[a.Name] != seen { // The API server refuses it: it was written since.
			m.conflicts++
			return false
		}
		m.repairs++
		if asked {
			m.asked++
		}
		if one := m.agents[a.Name]; one != nil && one.Spec.Repair != nil {
			m.climbed++
		}
		m.deleteMachine(a, want-1, handDeleted, exclusive())
		return true
	})
}

// checkRepair holds a plan's repairs to the invariants that it can break by itself.
func (m *manager) checkRepair(s Snapshot, result Result) {
	repairs := len(result.Of(Treat))
	f := newFleet(s)
	for _, a := range result.Of(Delete) {
		if a.Cause != Repair {
			continue
		}
		repairs++
		switch {
		case wellIn(s, a.Name):
			m.fail("%s is replaced, and is well", a.Name)
		case noneHeardIn(s):
			m.fail("%s is replaced while nothing is heard of any machine", a.Name)
		case !s.Live || !s.Confirmed:
			m.fail("%s is replaced on the ground of a cache", a.Name)
		case s.Now.Sub(m.startedAt) < simulatedPatience*time.Second:
			m.fail("%s is replaced %s after the manager has begun to listen", a.Name, s.Now.Sub(m.startedAt))
		case len(f.repair.patients) > mostUnhealthy(s.Pool, len(f.active)):
			m.fail("%s is replaced where %d of %d are unhealthy", a.Name, len(f.repair.patients), len(f.active))
		case len(f.leaving) > 0 || len(f.active) != f.want():
			m.fail("%s is replaced beside others: %d go, and %d of %d are there", a.Name, len(f.leaving), len(f.active), f.want())
		}
	}
	m.checkTreatments(f, result)
	if repairs > 1 {
		m.fail("%d machines are repaired at once", repairs)
	}
}

// wellIn says that a machine is well, by its agent's word, and that nobody says otherwise.
func wellIn(s Snapshot, name string) bool {
	one := machineIn(s, name)
	return one == nil || meta.IsStatusConditionTrue(one.Status.Conditions, v1alpha1.MachineAgentHealthyCondition) && !Asked(one)
}

func machineIn(s Snapshot, name string) *clusterv1.Machine {
	for _, one := range s.Machines {
		if one.Name == name {
			return one
		}
	}
	return nil
}

// asks is a MachineHealthCheck that finds something wrong with a machine.
func (w *world) asks(m *clusterv1.Machine) {
	w.note("somebody: asks to have %s remediated", m.Name)
	w.writeMachine(m.Name, func(m *clusterv1.Machine) {
		asked(0, "")(m)
		for i := range m.Status.Conditions {
			m.Status.Conditions[i].LastTransitionTime = metav1.NewTime(w.now)
		}
	})
}

// queueAnswer is as package nodepool's: it is written onto the Machine as it was seen, which it then is.
func (m *manager) queueAnswer(seen **clusterv1.Machine, answer Answer) {
	m.queue(true, func() bool {
		if !equality.Semantic.DeepEqual(m.world.machines[answer.Name], *seen) {
			m.conflicts++
			return false
		}
		m.answers++
		m.writeMachine(answer.Name, func(m *clusterv1.Machine) {
			if meta.RemoveStatusCondition(&m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition); answer.Condition != nil {
				meta.SetStatusCondition(&m.Status.Conditions, *answer.Condition)
			}
		})
		*seen = m.world.machines[answer.Name]
		return true
	})
}

// queueAnswers are those about machines that stay.
func (m *manager) queueAnswers(s Snapshot, result Result) {
	for _, answer := range result.Answers {
		if seen := machineIn(s, answer.Name); !slices.ContainsFunc(result.Of(Delete), func(a Action) bool { return a.Name == answer.Name }) {
			m.queueAnswer(&seen, answer)
		}
	}
}

// unanswered is a machine of which nobody has noted that what was asked for is asked for no more.
func (w *world) unanswered() error {
	for _, m := range w.machines {
		if takenBack(m) {
			return fmt.Errorf("nobody has noted that nobody asks to have %s remediated any more", m.Name)
		}
	}
	return nil
}

// noneHeardIn says that each Node of the pool has lapsed.
func noneHeardIn(s Snapshot) bool {
	lapsed := false
	for _, one := range s.Machines {
		node := meta.FindStatusCondition(one.Status.Conditions, clusterv1.MachineNodeReadyCondition)
		if !one.DeletionTimestamp.IsZero() || node == nil {
			continue
		}
		if node.Status != metav1.ConditionUnknown {
			return false
		}
		lapsed = lapsed || one.Status.NodeRef.IsDefined()
	}
	return lapsed
}
