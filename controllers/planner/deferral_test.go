package planner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func deferredIn(status v1alpha1.NodePoolStatus) []string {
	var list []string
	if status.Disruption != nil {
		for _, d := range status.Disruption.Deferred {
			list = append(list, fmt.Sprintf("%s %d %s: %s", d.Action, d.Count, d.Reason, d.Message))
		}
	}
	return list
}

func TestWhatIsDeferredIsTold(t *testing.T) {
	with := func(s Snapshot, edits ...func(*Snapshot)) Snapshot {
		for _, edit := range edits {
			edit(&s)
		}
		return s
	}
	noTemplate := func(s *Snapshot) {
		s.Problems = []Problem{{Reason: v1alpha1.ReasonTemplateNotFound, Message: "no template"}}
	}
	for name, tc := range map[string]struct {
		reason   string
		snapshot Snapshot
		outcome  Outcome
		status   []string
		events   []string
	}{
		"nothing": {
			reason:   "a pool that has nothing to do has nothing to tell",
			snapshot: snapshot(newPool(1, 1), newMachine(0)),
		},
		"paused": {
			reason:   "somebody has to let it go on, and sees what happens then",
			snapshot: snapshot(newPool(3, 2, isPaused), newMachine(0), newMachine(1)),
			status:   []string{"Create 1 Paused: spec.paused is set"},
			events:   []string{"Normal Paused Create: 1 machine waits to be made: spec.paused is set"},
		},
		"paused in the middle of everything": {
			reason: "each action is told by itself",
			snapshot: with(snapshot(newPool(1, 4, isPaused, hasReserved(2, 2, "r1")), newMachine(0, outdated), newMachine(1, outdated)),
				hasAgents(runs(0, "r0"), runs(1, "r0"))),
			status: []string{"Discard 2 Paused: spec.paused is set", "Delete 1 Paused: spec.paused is set", "Update 2 Paused: spec.paused is set"},
			events: []string{
				"Normal Paused Discard: 2 machines wait to be given up: spec.paused is set", "Normal Paused Delete: 1 machine waits to be deleted: spec.paused is set",
				"Normal Paused Update: 2 machines wait to be changed: spec.paused is set",
			},
		},
		"stalled": {
			reason:   "the warning that the pool is stalled says why, once",
			snapshot: with(snapshot(newPool(2, 1), newMachine(0)), noTemplate),
			status:   []string{"Create 1 Stalled: no template"},
			events:   []string{"Warning TemplateNotFound Reconcile: no template"},
		},
		"refused before": {
			reason:   "so it is with what the API server refuses",
			snapshot: with(snapshot(newPool(3, 1), newMachine(0)), func(s *Snapshot) { s.Refused = &Refusal{Name: "m", Message: "quota", Until: epoch.Add(2 * time.Hour)} }),
			status:   []string{"Create 2 Refused: quota"},
			events:   []string{"Warning MachineCreateFailed Reconcile: 2 machines could not be made; m: quota"},
		},
		"refused now": {
			reason:   "the status is that of the next round, which is not written then",
			snapshot: snapshot(newPool(3, 1), newMachine(0)),
			outcome:  Outcome{Failures: []Failure{{Name: "m", Message: "quota"}}},
			status:   []string{"Create 2 Refused: quota"},
			events:   []string{"Warning MachineCreateFailed Reconcile: 2 machines could not be made; m: quota"},
		},
		"failed now": {
			reason:   "what may work the next time waits for nobody",
			snapshot: snapshot(newPool(2, 1), newMachine(0)),
			outcome:  Outcome{Failures: []Failure{{Name: "m", Message: "timeout", Passing: true}}},
		},
		"its turn": {
			reason:   "whoever looks sees what the next one waits for, and nobody is called for that",
			snapshot: with(snapshot(newPool(3, 3), newMachine(0), newMachine(1, outdated), newMachine(2, outdated)), hasAgents(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0"), runs(2, "r0"))),
			status:   []string{"Update 2 OneAtATime: " + newMachine(0).Name + " is in Probation with revision r1"},
		},
		"tried again": {
			reason: "a machine that went back tries once more: nothing is stalled, and yet the others wait",
			snapshot: with(snapshot(newPool(2, 2, isUpdating(0)), newMachine(0, outdated), newMachine(1, outdated)), hasAgents(runs(1, "r0"), runs(0, "r0", func(a *v1alpha1.NodeAgent) {
				wentBack("r1")(a)
				a.Status.Phase = v1alpha1.PhaseStaging
			}))),
			status: []string{"Update 1 RolledBack: " + newMachine(0).Name + " went back from revision r1"},
			events: []string{"Normal RolledBack Update: 1 machine waits to be changed: " + newMachine(0).Name + " went back from revision r1"},
		},
		"it passes": {
			reason:   "a reservation is over before anybody has read of it",
			snapshot: snapshot(newPool(3, 9, hasReserved(8, 1, "r1")), newMachine(0)),
		},
		"a batch is full": {
			reason:   "so is the batch before the next one",
			snapshot: snapshot(newPool(2*MaxBatch, 9), newMachine(0)),
		},
		"the cache is behind": {
			reason:   "so is our own write",
			snapshot: with(snapshot(newPool(2, 1), newMachine(0)), func(s *Snapshot) { s.CacheBehind = "a write" }),
		},
		"not read live": {
			reason:   "and what has to be read again",
			snapshot: with(snapshot(newPool(2, 1), newMachine(0)), func(s *Snapshot) { s.Live = false }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, events := Report(tc.snapshot, Plan(tc.snapshot), tc.outcome)
			if diff := cmp.Diff(tc.status, deferredIn(status)); diff != "" {
				t.Errorf("%s: the status (-want +got):\n%s", tc.reason, diff)
			}
			if (status.Disruption == nil) != (len(tc.status) == 0) {
				t.Errorf("%s: an empty status is one to write: %+v", tc.reason, status.Disruption)
			}
			var told []string
			for _, e := range events {
				told = append(told, fmt.Sprintf("%s %s %s: %s", e.Type, e.Reason, e.Action, e.Note))
			}
			if diff := cmp.Diff(tc.events, told); diff != "" {
				t.Errorf("%s: the events (-want +got):\n%s", tc.reason, diff)
			}
			again := tc.snapshot
			again.Pool = again.Pool.DeepCopy()
			again.Pool.Status = status
			if same, events := Report(again, Plan(again), tc.outcome); !cmp.Equal(deferredIn(same), deferredIn(status)) || len(events) > 0 {
				t.Errorf("%s: the next round tells it again: %q, %+v", tc.reason, deferredIn(same), events)
			}
		})
	}
}

func TestADeferralFitsIntoAStatus(t *testing.T) {
	var result Result
	for i := range 2 * maxDeferred {
		result.Deferred = append(result.Deferred, Deferral{Verb: Verb(fmt.Sprintf("Verb%d", i)), Count: 1, Reason: DeferredPaused, Message: strings.Repeat("ä \n", v1alpha1.MaxMessage)})
	}
	status, _ := Report(snapshot(newPool(0, 0)), result, Outcome{})
	list := status.Disruption.Deferred
	if len(list) != maxDeferred || len(list[0].Message) > v1alpha1.MaxMessage || strings.Contains(list[0].Message, "\n") {
		t.Errorf("%d deferrals, the first with %d bytes", len(list), len(list[0].Message))
	}
}

func TestEachVerbSaysWhatAMachineWaitsFor(t *testing.T) {
	for _, verb := range []Verb{Create, Delete, Release, Discard, Update, Uncordon} {
		if got := (Deferral{Verb: verb, Count: 2, Message: "x"}).String(); strings.HasPrefix(got, "2 machines wait :") {
			t.Errorf("nothing is said with %s: %q", verb, got)
		}
	}
}
