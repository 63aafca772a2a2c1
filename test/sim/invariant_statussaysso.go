package sim

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// statusSaysSo: then the pool's status says so.
var statusSaysSo = &invariant{name: "status-says-so", settles: (*world).statusSaysSo}

// statusSaysSo compares the pool's status with what is so.
func (w *world) statusSaysSo() error {
	pool := w.pool()
	s, want := pool.Status, int32(len(w.machines())) //nolint:gosec // few
	switch {
	case s.ObservedGeneration != pool.Generation:
		return fmt.Errorf("its status is of generation %d, and the pool of %d", s.ObservedGeneration, pool.Generation)
	case ptr.Deref(s.Replicas, -1) != want || ptr.Deref(s.ReadyReplicas, -1) != want || ptr.Deref(s.AvailableReplicas, -1) != want:
		return fmt.Errorf("its status does not count %d machines: %d, %d ready, %d available", want, ptr.Deref(s.Replicas, -1), ptr.Deref(s.ReadyReplicas, -1), ptr.Deref(s.AvailableReplicas, -1))
	case len(s.Updating) > 0 || s.Reserved != nil:
		return fmt.Errorf("its status has something under way: %s", w.describe(pools, poolName))
	case !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.RolloutCompleteCondition) || s.Rollout.WaitingFor != "" || ptr.Deref(s.Rollout.Updated, -1) != want:
		return fmt.Errorf("it does not say that its rollout is complete: %+v, %+v", s.Rollout, meta.FindStatusCondition(s.Conditions, v1alpha1.RolloutCompleteCondition))
	case !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ReadyCondition):
		return fmt.Errorf("it is not Ready: %+v", meta.FindStatusCondition(s.Conditions, v1alpha1.ReadyCondition))
	}
	return nil
}
