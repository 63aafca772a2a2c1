package planner

import (
	"slices"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// defaultHistory is the schema's for rollout.revisionHistoryLimit.
const defaultHistory = 10

// prunable are the stored revisions that no machine was, is being or will be made from, but for the newest of them. Those are kept for
// somebody who goes back to one, which is then the one that it was, whatever an edit, or another Drover, would make of the template;
// and so that no manager whose cache is late takes one for stored that has just gone.
func prunable(f *fleet, result Result) []string {
	if f.CacheBehind != "" || f.paused() || f.deleting() || f.Revision == "" || f.Pool.Status.Reserved != nil || result.Reserve != nil {
		return nil
	}
	var unused []string
	for _, revision := range f.StoredRevisions {
		if revision != f.Revision {
			unused = append(unused, revision)
		}
	}
	uses := func(revisions ...string) {
		unused = slices.DeleteFunc(unused, func(one string) bool { return slices.Contains(revisions, one) })
	}
	if was := f.Pool.Status.Rollout; was != nil { // Somebody may go back to these.
		uses(was.CompletedRevision)
		if was.Failed != nil {
			uses(was.Failed.PreviousRevision)
		}
	}
	if failure := f.rollout.failure(); failure != nil {
		uses(failure.PreviousRevision)
	}
	for i := 0; i < len(f.Machines) && len(unused) > 0; i++ {
		uses(f.Machines[i].Labels[v1alpha1.RevisionLabel], v1alpha1.ToldRevision(f.Machines[i]))
	}
	for _, agent := range f.Agents { // What a node runs, or would go back to, says what a change of it does.
		if len(unused) == 0 {
			return nil
		}
		uses(agent.Spec.Revision, agent.Status.CurrentRevision, agent.Status.PreviousRevision)
	}
	return unused[:max(0, len(unused)-historyLimit(f.Pool))]
}

func historyLimit(pool *v1alpha1.NodePool) int {
	return int(ptr.Deref(pool.Spec.Rollout.RevisionHistoryLimit, defaultHistory))
}
