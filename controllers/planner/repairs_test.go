package planner

import (
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
	most := mostUnavailable[w.rng.IntN(len(mostUnavailable))]
	on := w.rng.IntN(4) > 0
	w.note("user: repairs %t, with up to %s unhealthy", on, most)
	w.writePool("", func(p *v1alpha1.NodePool) {
		p.Generation++
		p.Spec.Repair = v1alpha1.NodePoolRepair{}
		if on {
			p.Spec.Repair = simulatedRepair(most)
		}
	})
}

func simulatedRepair(most string) v1alpha1.NodePoolRepair {
	return v1alpha1.NodePoolRepair{
		Ladder: []v1alpha1.RepairRung{v1alpha1.RepairReplace}, MaxUnhealthy: ptr.To(intstr.Parse(most)),
		Timeouts: v1alpha1.RepairTimeouts{ReplaceSeconds: ptr.To(int32(simulatedPatience))},
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

// queueRepair is as package nodepool's: the status has the repair before the Machine is deleted, if that is as it was seen.
func (m *manager) queueRepair(s Snapshot, a Action, repair *v1alpha1.MachineRepair, base **v1alpha1.NodePool, want, handDeleted int, exclusive func() bool) {
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
	var seen *clusterv1.Machine
	for _, one := range s.Machines {
		if one.Name == a.Name {
			seen = one
		}
	}
	m.queue(true, func() bool {
		if m.world.machines[a.Name] != seen { // The API server refuses it: it was written since.
			m.conflicts++
			return false
		}
		m.repairs++
		m.deleteMachine(a, want-1, handDeleted, exclusive())
		return true
	})
}

// checkRepair holds a plan's repairs to the invariants that it can break by itself.
func (m *manager) checkRepair(s Snapshot, result Result) {
	repairs := 0
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
	if repairs > 1 {
		m.fail("%d machines are replaced at once", repairs)
	}
}

// wellIn says that a machine is well, by its agent's word.
func wellIn(s Snapshot, name string) bool {
	for _, one := range s.Machines {
		if one.Name == name {
			return meta.IsStatusConditionTrue(one.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
		}
	}
	return true
}

// noneHeardIn says that each Node of the pool has lapsed.
func noneHeardIn(s Snapshot) bool {
	for _, one := range s.Machines {
		node := meta.FindStatusCondition(one.Status.Conditions, clusterv1.MachineNodeReadyCondition)
		if one.DeletionTimestamp.IsZero() && node != nil && node.Status != metav1.ConditionUnknown {
			return false
		}
	}
	return true
}
