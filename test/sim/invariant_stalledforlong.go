package sim

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// stalledForLong: a pool is Stalled as its rollout does not get on only when for as long as its deadline the change of no node began or was
// over, and its revision was the same. Of a status that was lost nobody knows how old it is.
var stalledForLong = &invariant{name: "stalled-for-long", watches: func(w *watch) func(deed) error {
	var progress time.Time
	return func(d deed) error {
		if d.kind != pools || d.after == nil {
			return nil
		}
		after, before := as[*v1alpha1.NodePool](d.after), &v1alpha1.NodePool{}
		if d.before != nil {
			before = as[*v1alpha1.NodePool](d.before)
		}
		if before.Status.Revision != after.Status.Revision || !slices.Equal(before.Status.Updating, after.Status.Updating) {
			progress = w.world.now
			if d.by != nil {
				progress = d.by.begun
			}
		}
		if d.by == nil || !isOverdue(after) || isOverdue(before) || !progress.After(w.lost) {
			return nil
		}
		w.world.tally.Overdue++
		// Times in a status have no parts of a second.
		deadline := time.Duration(ptr.Deref(after.Spec.Rollout.ProgressDeadlineSeconds, 600)) * time.Second
		if got := d.by.begun.Sub(progress); got > 0 && got < deadline-time.Second {
			return fmt.Errorf("the pool's rollout got on %s ago, and has %s to: %s", got, deadline, after.Status.Rollout.WaitingFor)
		}
		return nil
	}
}}

func isOverdue(pool *v1alpha1.NodePool) bool {
	c := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.StalledCondition)
	return c != nil && c.Reason == v1alpha1.ReasonProgressDeadlineExceeded
}
