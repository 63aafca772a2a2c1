package planner

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// restsUntil is until when a machine whose change has begun, and that runs the target, has to stay well before its change is over. Zero:
// it has not to.
func (r *rollout) restsUntil(m *machine) time.Time {
	least := time.Duration(ptr.Deref(r.Pool.Spec.Rollout.MinReadySeconds, 0)) * time.Second
	if least <= 0 || !m.begun || !m.runs(r.target) {
		return time.Time{}
	}
	return r.wellSince(m).Add(least)
}

// wellSince is when a machine that is well was seen to be so first, or when it was Ready again since.
func (r *rollout) wellSince(m *machine) time.Time {
	since := r.Now.Truncate(time.Second)
	if recorded := r.Pool.Status.Rollout; recorded != nil {
		for i := range recorded.Ready {
			if recorded.Ready[i].Name == m.Name {
				since = recorded.Ready[i].Since.Time
			}
		}
	}
	if c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineReadyCondition); c != nil && c.LastTransitionTime.After(since) {
		return c.LastTransitionTime.Time
	}
	return since
}

// isSteady says that a machine is well for as long as one that was made has to be, before another goes for it.
func (r *rollout) isSteady(m *machine) bool { return m.well() && !r.Now.Before(r.steadyFrom(m)) }

// steadyFrom is from when on a machine that is well is steady.
func (r *rollout) steadyFrom(m *machine) time.Time {
	ready := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineReadyCondition)
	if ready == nil {
		return time.Time{}
	}
	return ready.LastTransitionTime.Add(time.Duration(ptr.Deref(r.Pool.Spec.Rollout.MinReadySeconds, 0)) * time.Second)
}

// untilSteady is how long it is until the next machine is that others may wait for; zero for never.
func (r *rollout) untilSteady() time.Duration {
	var after time.Duration
	if len(r.waiting)+len(r.replaced)+len(r.renewed) == 0 || ptr.Deref(r.Pool.Spec.Rollout.MinReadySeconds, 0) == 0 {
		return after
	}
	for _, m := range r.active {
		if m.well() && !r.isSteady(m) {
			after = sooner(after, r.steadyFrom(m).Sub(r.Now))
		}
	}
	return after
}

// rests says that a machine's change is over but for the time that it has to stay well.
func (r *rollout) rests(m *machine) bool { return r.arrived(m) && r.Now.Before(r.restsUntil(m)) }

// resting are the machines that rest.
func (r *rollout) resting() []*machine {
	var list []*machine
	for _, m := range r.begunMembers() {
		if r.rests(m) {
			list = append(list, m)
		}
	}
	return list
}

// readyMachines are those of the machines that a status is to name as being changed which run the target and are well, for that status.
func readyMachines(r *rollout, updating []string) []v1alpha1.ReadyMachine {
	var list []v1alpha1.ReadyMachine
	for _, m := range r.active {
		if m.begun && r.arrived(m) && !r.restsUntil(m).IsZero() && slices.Contains(updating, m.Name) {
			list = append(list, v1alpha1.ReadyMachine{Name: m.Name, Since: metav1.NewTime(r.wellSince(m))})
		}
	}
	return list
}
