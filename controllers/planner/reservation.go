package planner

import "github.com/drover-dev/drover/api/v1alpha1"

// stillReserved is what is left of the open reservation: nil when it is over. While some of its machines cannot be made,
// those at its ends that were made leave it. A Machine being deleted is let go then, which may be what the others wait
// for: it counts against a quota.
func stillReserved(f *fleet, outcome Outcome) *v1alpha1.OrdinalRange {
	reserved := f.Pool.Status.Reserved
	if outcome.ReservationFinished || reserved == nil || reserved.First == nil {
		return nil
	}
	left := reserved.DeepCopy()
	if !f.Live {
		return left
	}
	exists := make(map[int64]bool, len(f.byOrdinal)+len(outcome.Created))
	for ordinal := range f.byOrdinal {
		exists[ordinal] = true
	}
	for _, action := range outcome.Created {
		exists[action.Ordinal] = true
	}
	for left.Count > 0 && exists[*left.First] {
		*left.First++
		left.Count--
	}
	for left.Count > 0 && exists[*left.First+int64(left.Count)-1] {
		left.Count--
	}
	if left.Count == 0 {
		return nil
	}
	return left
}
