package planner

import (
	"slices"
	"strings"
	"testing"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// isStopped stops the fleet.
func isStopped(s *Snapshot) { s.Stopped = "the annotation stops the fleet: a fire" }

func TestAStoppedFleetDisruptsNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		reason   string
		pool     *v1alpha1.NodePool
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		does     []string
		holds    []string
		stalled  bool
		ready    bool
	}{
		"complete": {
			reason: "there is nothing to hold", pool: newPool(1, 1), machines: ms(newMachine(0)), agents: as(runs(0, "r1")), ready: true,
		},
		"scaled down": {
			reason: "which node is too many may be what went wrong", pool: newPool(1, 3), machines: ms(newMachine(0), newMachine(1), newMachine(2)),
			holds: []string{"Delete 2 FleetStopped"}, stalled: true,
		},
		"the pool goes": {
			reason: "a pool that somebody deleted by mistake is saved", pool: newPool(2, 2, isDeleting), machines: ms(newMachine(0), newMachine(1)),
			holds: []string{"Delete 2 FleetStopped"}, stalled: true,
		},
		"an edit": {
			reason: "of the template", pool: newPool(2, 2), machines: ms(newMachine(0, outdated), newMachine(1, outdated)), agents: as(runs(0, "r0"), runs(1, "r0")),
			holds: []string{"Update 2 FleetStopped"}, stalled: true,
		},
		"an edit half way": {
			reason: "the node that was begun is not drained any further", pool: newPool(2, 2, isUpdating(0)),
			machines: ms(newMachine(0, outdated), newMachine(1, outdated)), agents: as(runs(0, "r0"), runs(1, "r0")),
			holds: []string{"Update 2 FleetStopped"}, stalled: true,
		},
		"an edit for a machine without a Node": {
			reason: "it disrupts nobody", pool: newPool(1, 1), machines: ms(newMachine(0, outdated, unready)), agents: as(runs(0, "r0", unstarted)),
			does: []string{"Update"},
		},
		"too few": {
			reason: "more nodes are no harm, and somebody may need them", pool: newPool(2, 1), machines: ms(newMachine(0)), does: []string{"Create"},
		},
		"too few, and an edit": {
			reason: "while machines are made the pool gets on", pool: newPool(2, 1), machines: ms(newMachine(0, outdated)), agents: as(runs(0, "r0")),
			does: []string{"Create"}, holds: []string{"Update 1 FleetStopped"},
		},
		"one that somebody deleted": {
			reason: "it is on its way, and is let go", pool: newPool(1, 2), machines: ms(newMachine(0), newMachine(1, leaving)), does: []string{"Release"},
		},
		"a reservation that is given up": {
			reason: "nothing ever ran there", pool: newPool(1, 3, hasReserved(2, 1, "r1")), machines: ms(newMachine(0)), does: []string{"Discard"}, ready: true,
		},
		"a cordon that is over": {
			reason: "pods get their node back", pool: newPool(1, 1), machines: ms(newMachine(0)), agents: as(runs(0, "r1")),
			edit: func(s *Snapshot) { s.Cordoned = map[string]bool{newMachine(0).Name: true} }, does: []string{"Uncordon"},
		},
		"paused": {
			reason: "what the pool's own user did comes first", pool: newPool(1, 3, isPaused), machines: ms(newMachine(0), newMachine(1)),
			holds: []string{"Delete 1 Paused"}, stalled: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(tc.pool, tc.machines...)
			s.Confirmed = true
			hasAgents(tc.agents...)(&s)
			if tc.edit != nil {
				tc.edit(&s)
			}
			isStopped(&s)
			result := Plan(s)
			got := summarise(result)
			var does []string
			for _, a := range result.Actions {
				does = append(does, string(a.Verb))
			}
			if !slices.Equal(does, tc.does) || !slices.Equal(got.Deferred, tc.holds) {
				t.Errorf("%s: does %q and holds %q, want %q and %q", tc.reason, does, got.Deferred, tc.does, tc.holds)
			}
			status, _ := Report(s, result, Outcome{})
			if c := condition(status, v1alpha1.StalledCondition); (c != nil) != tc.stalled {
				t.Errorf("%s: Stalled is %+v, want it there: %t", tc.reason, c, tc.stalled)
			}
			if c := condition(status, v1alpha1.SuspendedCondition); c == nil || tc.pool.Spec.Paused == nil && !strings.HasSuffix(c.Message, s.Stopped) {
				t.Errorf("%s: Suspended is %+v", tc.reason, c)
			}
			if c := condition(status, v1alpha1.ReadyCondition); (c.Status == "True") != tc.ready {
				t.Errorf("%s: Ready is %+v, want it true: %t", tc.reason, c, tc.ready)
			}
			free := s
			free.Stopped = ""
			if len(tc.holds) > 0 && tc.pool.Spec.Paused == nil && len(Plan(free).Actions) == len(result.Actions) {
				t.Errorf("%s: it does no more when nothing stops it", tc.reason)
			}
		})
	}
}

func TestAStoppedFleetSaysWhy(t *testing.T) {
	s := snapshot(newPool(1, 4), newMachine(0, outdated), newMachine(1, outdated), newMachine(2, outdated))
	hasAgents(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"))(&s)
	isStopped(&s)
	status, events := Report(s, Plan(s), Outcome{})
	reason, message := messageOf(status, v1alpha1.StalledCondition)
	if want := "2 machines wait to be deleted, 3 machines wait to be changed: " + s.Stopped + ". Take the annotation away to go on"; reason != v1alpha1.ReasonFleetStopped || message != want {
		t.Errorf("Stalled says %s, %q, want %q", reason, message, want)
	}
	var told []string
	for _, e := range events {
		told = append(told, e.Type+" "+e.Reason+" "+e.Action)
	}
	if want := []string{"Normal FleetStopped Delete", "Normal FleetStopped Update"}; !slices.Equal(told, want) {
		t.Errorf("it is told as %q, want %q: whoever stopped it knows", told, want)
	}
	s.Stopped = ""
	if status, _ = Report(s, Plan(s), Outcome{}); condition(status, v1alpha1.SuspendedCondition) != nil {
		t.Errorf("it is suspended after it went on: %+v", status.Conditions)
	}
}
