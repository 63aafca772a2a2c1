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
