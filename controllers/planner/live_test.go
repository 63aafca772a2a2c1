package planner

import (
	"testing"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestTheAPIServerIsReadWhereThatLetsSomethingHappen, and only there: a pool that lacks machines and may not make them is looked at on
// each of its events.
func TestTheAPIServerIsReadWhereThatLetsSomethingHappen(t *testing.T) {
	stalledBy := func(s *Snapshot) {
		s.Problems = []Problem{{Reason: v1alpha1.ReasonTemplateNotFound, Message: "no template"}}
	}
	refused := func(s *Snapshot) { s.Refused = &Refusal{Name: "m", Message: "quota", Until: s.Now.Add(time.Minute)} }
	behind := func(s *Snapshot) { s.CacheBehind = "the creation of m" }
	stopped := func(s *Snapshot) { s.Stopped = "the disk is full" }
	held := func(m *clusterv1.Machine) { m.Finalizers = []string{v1alpha1.OrdinalFinalizer} }
	released := func(p *v1alpha1.NodePool) { p.Status.Reserved.Released = []int64{1} }
	for name, tc := range map[string]struct {
		reason   string
		snapshot Snapshot
		edit     func(*Snapshot)
		want     bool
	}{
		"complete":               {"there is nothing to do", snapshot(newPool(1, 1), newMachine(0)), nil, false},
		"lacking":                {"a machine is made", snapshot(newPool(1, 0)), nil, true},
		"lacking, stalled":       {"none is made", snapshot(newPool(1, 0)), stalledBy, false},
		"lacking, refused":       {"none is made yet", snapshot(newPool(1, 0)), refused, false},
		"lacking, paused":        {"none is made", snapshot(newPool(1, 0, isPaused)), nil, false},
		"lacking, cache behind":  {"nothing is done before the cache shows our own writes", snapshot(newPool(1, 0)), behind, false},
		"surplus":                {"a machine is deleted", snapshot(newPool(0, 1), newMachine(0)), nil, true},
		"surplus, stopped":       {"none is deleted", snapshot(newPool(0, 1), newMachine(0)), stopped, false},
		"all made":               {"the reservation is over", snapshot(newPool(1, 1, hasReserved(0, 1, "r1")), newMachine(0)), nil, true},
		"some made, stalled":     {"the reservation gets shorter", snapshot(newPool(2, 2, hasReserved(0, 2, "r1")), newMachine(0)), stalledBy, true},
		"one left, stalled":      {"the reservation is as short as it can be", snapshot(newPool(2, 2, hasReserved(1, 1, "r1")), newMachine(0)), stalledBy, false},
		"one goes, in between":   {"it is let go", snapshot(newPool(3, 3, hasReserved(0, 3, "r1")), newMachine(1, leaving, held)), stalledBy, true},
		"one went, in between":   {"that is noted already", snapshot(newPool(3, 3, hasReserved(0, 3, "r1"), released), newMachine(1, leaving)), stalledBy, false},
		"given up":               {"ordinals are given up", snapshot(newPool(0, 2, hasReserved(0, 2, "r1"))), nil, true},
		"deleted, some left":     {"they are on their way", snapshot(newPool(2, 2, isDeleting), newMachine(0, leaving), newMachine(1, leaving)), nil, false},
		"deleted, none left":     {"the pool is let go", snapshot(newPool(2, 2, isDeleting)), nil, true},
		"one goes, status lost":  {"it is kept until the status has its ordinal", snapshot(newPool(1, 0, hasNoStatus), newMachine(0), newMachine(1, leaving, held)), nil, true},
		"one goes, and replaced": {"nothing holds it", snapshot(newPool(1, 2), newMachine(0), newMachine(1, leaving, held)), nil, false},
	} {
		s := tc.snapshot
		s.Live = false
		if tc.edit != nil {
			tc.edit(&s)
		}
		result := Plan(s)
		if result.Live != tc.want {
			t.Errorf("%s: %s: to be read is %t, want %t; deferred are %+v", name, tc.reason, result.Live, tc.want, result.Deferred)
		}
		if s.Live = true; Plan(s).Live {
			t.Errorf("%s: what was read is to be read again", name)
		}
	}
}

func hasNoStatus(p *v1alpha1.NodePool) { p.Status = v1alpha1.NodePoolStatus{} }

// TestAPlanAboutAnotherMachineThanWasReadWaitsForIt: between a plan and the read that it asks for another machine may become the next.
func TestAPlanAboutAnotherMachineThanWasReadWaitsForIt(t *testing.T) {
	s := snapshot(newPool(2, 9), newMachine(0, outdated), newMachine(1, outdated))
	hasAgents(runs(0, "r0"), runs(1, "r0"))(&s)
	next, other := newMachine(0).Name, newMachine(1).Name
	s.Sure = map[string]bool{other: true}
	result := Plan(s)
	if len(result.Actions) > 0 || len(result.Updating) > 0 {
		t.Errorf("%v is done, and %v are named as being changed: %s was read, and the next is %s", result.Actions, result.Updating, other, next)
	}
	if len(result.Confirm) != 1 || result.Confirm[0] != next || result.RequeueAfter != lookAgain {
		t.Errorf("to be read is %v, after %s, want %s after %s", result.Confirm, result.RequeueAfter, next, lookAgain)
	}
	s.Sure[next] = true
	if result = Plan(s); len(result.Of(Update)) != 1 || len(result.Confirm) > 0 {
		t.Errorf("changed are %v, and to be read %v, want %s and nothing", result.Of(Update), result.Confirm, next)
	}
}
