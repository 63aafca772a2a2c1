package planner

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAReservationIsNarrowedToWhatWasNotMade(t *testing.T) {
	whole := hasReserved(2, 4, "r1") // the ordinals 2 to 5
	for name, tc := range map[string]struct {
		reason  string
		exist   []int64
		leave   []int64 // exist, and are being deleted
		created []int64
		left    []int64 // have left before
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
		"the middle leaves": {
			reason: "it is let go, so its ordinal has to be known for used", exist: []int64{2}, leave: []int64{4}, want: reservedRange(3, 3, 4),
		},
		"the end leaves":            {reason: "it is out of the range, which says as much", leave: []int64{5}, want: reservedRange(2, 3)},
		"one leaves, from a cache":  {reason: "an old read says nothing", leave: []int64{3}, cached: true, want: reservedRange(2, 4)},
		"one left, and is gone":     {reason: "it is used for ever", left: []int64{3}, want: reservedRange(2, 4, 3)},
		"one left, up to the end":   {reason: "it is passed over as one that was made", left: []int64{3}, exist: []int64{2}, want: reservedRange(4, 2)},
		"one left, all others made": {reason: "then it is over", left: []int64{3}, exist: []int64{2, 4}, created: []int64{5}},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(newPool(9, 6, whole))
			for _, ordinal := range tc.exist {
				s.Machines = append(s.Machines, newMachine(ordinal))
			}
			for _, ordinal := range tc.leave {
				s.Machines = append(s.Machines, newMachine(ordinal, leaving))
			}
			s.Pool.Status.Reserved.Released = tc.left
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

func reservedRange(first int64, count int32, released ...int64) *v1alpha1.OrdinalRange {
	return &v1alpha1.OrdinalRange{First: &first, Count: count, Revision: "r1", Released: released}
}

// TestAMachineDeletedInTheMiddleOfAReservationIsLetGo, whatever keeps the pool from making the others: a user deleted it.
func TestAMachineDeletedInTheMiddleOfAReservationIsLetGo(t *testing.T) {
	for reason, held := range map[string]func(*Snapshot){
		"the pool is paused":                func(s *Snapshot) { isPaused(s.Pool) },
		"the template is gone":              func(s *Snapshot) { s.Problems = []Problem{{Reason: v1alpha1.ReasonTemplateNotFound}} },
		"the bundle is gone":                func(s *Snapshot) { s.Revision = "" },
		"a quota refuses the others":        func(s *Snapshot) { s.Refused = &Refusal{Until: epoch.Add(2 * time.Hour)} },
		"the pool is deleted, and paused":   func(s *Snapshot) { isPaused(s.Pool); isDeleting(s.Pool) },
		"a name is taken, and it is paused": func(s *Snapshot) { isPaused(s.Pool); s.Nodes = map[string]*corev1.Node{newMachine(0).Name: {}} },
	} {
		t.Run(reason, func(t *testing.T) {
			s := snapshot(newPool(3, 3, hasReserved(0, 3, "r1")), newMachine(1, leaving))
			held(&s)
			if result := takeRound(&s); len(result.Of(Release)) > 0 || result.RequeueAfter != nextBatch {
				t.Fatalf("it is let go before the status says that its ordinal is used: %+v", result)
			}
			if got := ordinals(takeRound(&s), Release); !slices.Equal(got, []int64{1}) || len(s.Machines) > 0 {
				t.Fatalf("%v are let go, want the one that a user deleted", got)
			}
			if result := takeRound(&s); result.RequeueAfter == nextBatch {
				t.Errorf("with nothing left to do it plans again at once: %+v", result)
			}
			s = snapshot(s.Pool)
			s.Pool.Spec.Paused, s.Pool.DeletionTimestamp = nil, nil
			if got := ordinals(Plan(s), Create); !slices.Equal(got, []int64{0, 2}) {
				t.Errorf("when that is over %v are made, want the others", got)
			}
		})
	}
}
