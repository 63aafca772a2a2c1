package sim

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// leastRequest is for how long a MachineHealthCheck has to have asked for a machine, which docs/repair.md says.
const leastRequest = time.Minute

// healthCheck is a MachineHealthCheck that finds something wrong with a machine, and asks to have it remediated. It finds it well again
// later, whatever it is.
var healthCheck = struckBy("a MachineHealthCheck asks for a machine", 4, true, func(w *world, e event) bool {
	m := w.anyMachine(e.number)
	if m == nil || !m.DeletionTimestamp.IsZero() {
		return false
	}
	b := w.boxes[m.Name]
	b.struck, b.condemned = w.now, later(b.condemned, w.now.Add(e.lasts))
	w.check(b)
	w.after(e.lasts, func() { w.check(b) })
	return true
})

// check has a MachineHealthCheck write what it finds, as Cluster API's does: it asks once, and leaves it to the owner to note that nobody
// asks any more.
func (w *world) check(b *box) {
	m := w.machine(b.name)
	if m == nil || !m.DeletionTimestamp.IsZero() {
		return
	}
	found := metav1.Condition{Type: clusterv1.MachineHealthCheckSucceededCondition, Status: metav1.ConditionTrue, Reason: clusterv1.MachineHealthCheckSucceededReason}
	if b.condemned.After(w.now) {
		found.Status, found.Reason = metav1.ConditionFalse, clusterv1.MachineHealthCheckUnhealthyNodeReason
	}
	w.setCondition(b, found)
	if found.Status == metav1.ConditionFalse && meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition) == nil {
		w.setCondition(b, metav1.Condition{
			Type: clusterv1.MachineOwnerRemediatedCondition, Status: metav1.ConditionFalse, Reason: clusterv1.MachineOwnerRemediatedWaitingForRemediationReason,
		})
	}
	w.follow(b)
}

// condemnedSince is since when somebody asks to have a machine remediated; zero for nobody.
func condemnedSince(m *clusterv1.Machine) time.Time {
	check := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineHealthCheckSucceededCondition)
	owner := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition)
	if check == nil || owner == nil || check.Status != metav1.ConditionFalse || owner.Status != metav1.ConditionFalse {
		return time.Time{}
	}
	return later(check.LastTransitionTime.Time, owner.LastTransitionTime.Time)
}

// isCondemned says that the deed is about a machine that somebody asked to have remediated when the manager saw it last.
func (d deed) isCondemned() bool {
	m, is := d.before.(*clusterv1.Machine)
	return is && m != nil && !condemnedSince(m).IsZero()
}
