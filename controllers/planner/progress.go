package planner

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// rolloutStatus says how far a rollout is. While the target is not known, or the pool is being deleted, it is what was said last, but
// for what it waits for.
func rolloutStatus(r *rollout, result Result, outcome Outcome, t tally) *v1alpha1.NodePoolRolloutStatus {
	was := r.Pool.Status.Rollout
	if r.Revision == "" || r.deleting() {
		return interrupted(was, result)
	}
	status := &v1alpha1.NodePoolRolloutStatus{Revision: r.Revision, StartedAt: metav1.NewTime(r.Now.Truncate(time.Second)), Phase: r.phase()}
	if was != nil {
		status.CompletedRevision = was.CompletedRevision
		if was.Revision == r.Revision {
			status.StartedAt = was.StartedAt
		}
	}
	if r.completes() {
		status.CompletedRevision = r.Revision
	}
	status.Canary, status.Failed = r.canary.status(), r.failure()
	status.Ready = readyMachines(r, result.Updating)
	status.WaitingFor = v1alpha1.BoundMessage(r.waitsFor(result, outcome, t))
	if r.Agents != nil {
		status.Updated = int32Pointer(t.reached)
	}
	status.ProgressedAt = r.progressedAt(result, t.reached)
	return status
}

// completes says that all machines run the template's revision, and that the pool's status has another one that they all ran.
func (r *rollout) completes() bool {
	if r.Revision == "" || r.deleting() || r.phase() != v1alpha1.RolloutPhaseComplete || r.updated == 0 || r.updated < len(r.active) {
		return false
	}
	return r.Pool.Status.Rollout == nil || r.Pool.Status.Rollout.CompletedRevision != r.Revision
}

// interrupted is of a rollout of which nobody knows any more what it is to bring about.
func interrupted(was *v1alpha1.NodePoolRolloutStatus, result Result) *v1alpha1.NodePoolRolloutStatus {
	if was == nil {
		return nil
	}
	status := was.DeepCopy()
	status.ProgressedAt, status.WaitingFor = metav1.Time{}, ""
	if len(result.Problems) > 0 {
		status.WaitingFor = v1alpha1.BoundMessage(result.Problems[0].Message)
	}
	return status
}

// phase is how far a rollout is, in one word. It is complete when all machines run the target, and stays so while others are made.
func (r *rollout) phase() v1alpha1.RolloutPhase {
	was := r.Pool.Status.Rollout
	wasComplete := was != nil && was.Revision == r.Revision && was.Phase == v1alpha1.RolloutPhaseComplete
	switch {
	case r.reverts() && r.toRevert() == 0:
		return v1alpha1.RolloutPhaseRolledBack
	case r.reverts() || r.condemned == nil && r.failure() != nil:
		return v1alpha1.RolloutPhaseRollingBack
	case r.condemned != nil || r.failed != nil:
		return v1alpha1.RolloutPhaseStopped
	case r.done() && (wasComplete || r.updated == len(r.active) && len(r.active) >= r.want()):
		return v1alpha1.RolloutPhaseComplete
	case r.canary.isSoaking():
		return v1alpha1.RolloutPhaseSoaking
	case r.canary.holds:
		return v1alpha1.RolloutPhaseCanary
	default:
		return v1alpha1.RolloutPhaseRolling
	}
}

// soonest is how long it is until something is to be done that no event tells of; zero for never.
func (r *rollout) soonest() time.Duration {
	after := r.untilSteady()
	for _, m := range r.resting() {
		after = sooner(after, r.restsUntil(m).Sub(r.Now))
	}
	if r.canary.isSoaking() && len(r.waiting)+len(r.replaced) > 0 {
		after = sooner(after, r.canary.soaks.Sub(r.Now))
	}
	return after
}

// sooner is the shorter of two waits, where zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
