package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAReservationIsNarrowedToWhatWasNotMade(t *testing.T) {
	whole := hasReserved(2, 4, "r1") // the ordinals 2 to 5
	for name, tc := range map[string]struct {
		reason  string
		exist   []int64
		created []int64
		cached  bool
		over    bool
		want    *v1alpha1.OrdinalRange
	}{
		"none made":       {reason: "nothing is known of any", want: reservedRange(2, 4)},
		"the first made":  {reason: "a Machine that was seen is not made again", exist: []int64{2}, want: reservedRange(3, 3)},
		"one made now":    {reason: "nor is one made in this round", exist: []int64{2}, created: []int64{3}, want: reservedRange(4, 2)},
		"the last made":   {reason: "the order does not matter", exist: []int64{5}, want: reservedRange(2, 3)},
		"both ends":       {reason: "at both ends", exist: []int64{2, 5}, want: reservedRange(3, 2)},
		"the middle made": {reason: "a range has no holes", exist: []int64{3}, want: reservedRange(2, 4)},
		"others made":     {reason: "those of other reservations say nothing", exist: []int64{0, 1, 6}, want: reservedRange(2, 4)},
		"all made":        {reason: "then it is over", exist: []int64{2, 3}, created: []int64{4, 5}},
		"from a cache":    {reason: "an old read may not show that one was deleted", exist: []int64{2}, cached: true, want: reservedRange(2, 4)},
		"over":            {reason: "some were given up", over: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(newPool(9, 6, whole))
			for _, ordinal := range tc.exist {
				s.Machines = append(s.Machines, newMachine(ordinal))
			}
			s.Live = !tc.cached
			outcome := Outcome{ReservationFinished: tc.over}
			for _, ordinal := range tc.created {
				outcome.Created = append(outcome.Created, Action{Verb: Create, Ordinal: ordinal})
			}
			status, _ := Report(s, Result{}, outcome)
			if diff := cmp.Diff(tc.want, status.Reserved); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func reservedRange(first int64, count int32) *v1alpha1.OrdinalRange {
	return &v1alpha1.OrdinalRange{First: &first, Count: count, Revision: "r1"}
}
