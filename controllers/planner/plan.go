package planner

import (
	"slices"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
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
)

// Plan decides what to do.
func Plan(s Snapshot) Result {
	f := newFleet(s)
	l := newLedger(f)
	result := Result{NextOrdinal: f.nextOrdinal(), Problems: s.Problems}

	up := proposeScaleUp(f)
	result.Taken = up.taken
	if up.exhausted {
		result.Problems = append(slices.Clone(s.Problems), namesTaken(up.taken))
	}
	creates := l.admitAll(up.creates)
	discards := l.admitAll(up.discards)
	if reserve := up.reservation(f, creates); reserve != nil {
		result.Reserve = reserve
		result.NextOrdinal = *reserve.First + int64(reserve.Count)
		result.FinishReservation = true
	} else if f.Pool.Status.Reserved != nil && len(creates) == len(up.creates) && len(discards) == len(up.discards) {
		result.FinishReservation = up.settles
		// Otherwise what holds up the reservation holds up the rest, and to plan that at once would be to spin.
		l.deferSome(Create, up.later, DeferredReservation, "the machines of an earlier reservation are made first")
	}

	result.Record = !f.deleting() && f.CacheBehind == "" && result.NextOrdinal > recordedOrdinal(f.Pool)

	deletes := l.admitAll(proposeScaleDown(f))
	releases := l.admitAll(proposeRelease(f))
	result.Actions = slices.Concat(creates, discards, deletes, releases)
	result.Deferred = l.deferrals()
	result.PruneRevisions = prunable(f, result)
	result.Finalize = finalizable(f)
	result.RequeueAfter = requeue(f, result)
	return result
}

// finalizable says that a pool being deleted has no machine any more. The caller collects the infrastructure machines
// that never got one, so an open reservation is no obstacle.
func finalizable(f *fleet) bool {
	return f.deleting() && !f.paused() && f.Live && f.CacheBehind == "" && len(f.Machines) == 0
}

// prunable are the stored revisions that no machine was, is being or will be made from.
func prunable(f *fleet, result Result) []string {
	if f.CacheBehind != "" || f.paused() || f.deleting() || f.Revision == "" || f.Pool.Status.Reserved != nil || result.Reserve != nil {
		return nil
	}
	used := map[string]bool{f.Revision: true}
	for _, m := range f.Machines {
		used[m.Labels[v1alpha1.RevisionLabel]] = true
	}
	var unused []string
	for _, revision := range f.StoredRevisions {
		if !used[revision] {
			unused = append(unused, revision)
		}
	}
	return unused
}

// requeue is when to plan again without being told to.
func requeue(f *fleet, result Result) time.Duration {
	if result.deferredFor(DeferredBatch) || result.deferredFor(DeferredReservation) || result.deferredFor(DeferredUnconfirmed) {
		return nextBatch
	}
	if result.FinishReservation && len(proposeRelease(f)) == 0 && len(f.leaving) > 0 {
		return nextBatch // what leaves is released once the reservation is over
	}
	var after time.Duration
	if result.deferredFor(DeferredRefused) {
		after = f.Refused.RetryAfter
	}
	for _, p := range result.Problems {
		if p.RetryAfter > 0 && (after == 0 || p.RetryAfter < after) {
			after = p.RetryAfter
		}
	}
	return after
}
