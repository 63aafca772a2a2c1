package planner

import (
	"slices"
	"time"
)

const (
	// MaxBatch is the most machines that one plan makes, and the most that it deletes.
	MaxBatch = 500
	// maxReserved is the most ordinals a reservation has, names that are passed over included. It is the schema's.
	maxReserved = 1000
	// maxOrdinal is the schema's for status.nextOrdinal.
	maxOrdinal = 1_000_000_000_000
	// nextBatch is how soon the rest of what did not fit into a batch is planned.
	nextBatch = 10 * time.Millisecond
	// lookAgain is how soon a plan is made again that was about other machines than those that were read from the API server.
	lookAgain = 100 * time.Millisecond
)

// Plan decides what to do.
func Plan(s Snapshot) Result {
	f := newFleet(s)
	l := newLedger(f)
	l.admitAll(propose(f))

	result := Result{NextOrdinal: f.next, Problems: s.Problems, Actions: l.actions, Deferred: l.deferred}
	f.reservation.settle(&result)
	result.Record = !f.deleting() && f.CacheBehind == "" && result.NextOrdinal > recordedOrdinal(f.Pool)
	result.Updating, result.Confirm = updating(f.rollout, l)
	result.Progressed = !slices.Equal(s.Pool.Status.Updating, result.Updating)
	result.Repair = f.repair.next(l.actions)
	result.Answers = answers(l)
	result.PruneRevisions = prunable(f, result)
	result.Finalize = finalizable(f) && f.Live
	result.Live = wantsLive(f, result)
	result.RequeueAfter = requeue(f, result)
	return result
}

// finalizable says that a pool being deleted has no machine any more. The caller collects the infrastructure machines
// that never got one, so an open reservation is no obstacle.
func finalizable(f *fleet) bool {
	return f.deleting() && !f.paused() && f.CacheBehind == "" && len(f.Machines) == 0
}

// wantsLive says that there is something to do that a Live snapshot is needed for: machines to make or to delete, a reservation that
// gets on, a Machine that waits for it to be let go, or a pool.
func wantsLive(f *fleet, result Result) bool {
	if f.Live || f.CacheBehind != "" {
		return false
	}
	unread := slices.ContainsFunc(result.Deferred, func(d Deferral) bool {
		return d.Reason == DeferredUnconfirmed && d.Verb.needsLive()
	})
	return unread || finalizable(f) || f.holdsLeaving() || f.reservation.getsOn()
}

// requeue is when to plan again without being told to.
func requeue(f *fleet, result Result) time.Duration {
	for _, d := range result.Deferred {
		if d.Reason == DeferredBatch || d.Reason == DeferredReservation || d.Reason == DeferredUnconfirmed && !f.Live && d.Verb.needsLive() {
			return nextBatch
		}
	}
	if f.Confirmed && len(result.Confirm) > 0 {
		return lookAgain
	}
	if f.Live && f.holdsLeaving() {
		return nextBatch // they are let go once the status says that they may be
	}
	if f.rollout.condemned == nil && f.rollout.failure() != nil {
		return nextBatch // it is remembered then
	}
	if (f.rollout.completes() || result.FinishReservation) && len(f.StoredRevisions) > historyLimit(f.Pool) {
		return nextBatch // what all ran before may be one that nobody goes back to then, and what was to be made one that nobody makes
	}
	var after time.Duration
	if result.deferredFor(DeferredRefused) {
		after = f.Refused.Until.Sub(f.Now)
	}
	for _, p := range result.Problems {
		after = sooner(after, p.RetryAfter)
	}
	return sooner(sooner(sooner(after, f.rollout.soonest()), f.rollout.untilDeadline(result)), sooner(sooner(f.repair.soonest(), f.untilBudgetsChange()), f.rollout.untilRenewal()))
}
