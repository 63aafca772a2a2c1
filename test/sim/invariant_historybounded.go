package sim

import (
	"fmt"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// historyBounded: then no more revisions are stored than the pool keeps of those that nothing uses, and those that are used: what the
// template says, what all nodes ran last, what a node would go back to, and what each machine was made from, was told, ran, or runs.
var historyBounded = &invariant{name: "history-bounded", settles: (*world).historyIsBounded}

func (w *world) historyIsBounded() error {
	pool := w.pool()
	used := map[string]bool{pool.Status.Revision: true}
	if r := pool.Status.Rollout; r != nil {
		used[r.CompletedRevision] = true
		if r.Failed != nil {
			used[r.Failed.PreviousRevision] = true
		}
	}
	for _, m := range w.machines() {
		used[m.Labels[v1alpha1.RevisionLabel]], used[v1alpha1.ToldRevision(m)] = true, true
		if agent := w.agent(m.Name); agent != nil {
			used[agent.Spec.Revision], used[agent.Status.CurrentRevision], used[agent.Status.PreviousRevision] = true, true, true
		}
	}
	delete(used, "")
	limit := int(ptr.Deref(pool.Spec.Rollout.RevisionHistoryLimit, 10))
	if stored := len(w.api.tables[revisions]); stored > limit+len(used) {
		return fmt.Errorf("%d revisions are stored, %d of them used, and the pool keeps %d others", stored, len(used), limit)
	}
	return nil
}
