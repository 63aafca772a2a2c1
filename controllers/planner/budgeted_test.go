package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner/budget"
)

// budgetOf is a budget that always has a say, of so many nodes or percent.
func budgetOf(nodes string, reasons ...v1alpha1.DisruptionReason) v1alpha1.DisruptionBudget {
	value := intstr.Parse(nodes)
	return v1alpha1.DisruptionBudget{Nodes: &value, Reasons: reasons}
}

// nightly is a budget that has a say for an hour from a time on. The snapshots are of one o'clock.
func nightly(nodes, schedule string, reasons ...v1alpha1.DisruptionReason) v1alpha1.DisruptionBudget {
	b, hour := budgetOf(nodes, reasons...), int32(3600)
	b.Schedule, b.DurationSeconds = schedule, &hour
	return b
}

func hasBudgets(list ...v1alpha1.DisruptionBudget) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Disruption.Budgets = list }
}

// fleetOf are machines with Nodes, each with what else is so.
func fleetOf(n int64, edits map[int64][]func(*clusterv1.Machine)) []*clusterv1.Machine {
	var list []*clusterv1.Machine
	for i := range n {
		list = append(list, newMachine(i, append([]func(*clusterv1.Machine){joined}, edits[i]...)...))
	}
	return list
}

func agentsOf(n int64, revision string) []*v1alpha1.NodeAgent {
	var list []*v1alpha1.NodeAgent
	for i := range n {
		list = append(list, runs(i, revision))
	}
	return list
}

const (
	forUpdate    = v1alpha1.DisruptionUpdate
	forScaleDown = v1alpha1.DisruptionScaleDown
)

func TestBudgetsHoldWhatDisrupts(t *testing.T) {
	name := func(ordinal int64) string { return newMachine(ordinal).Name }
	type machineEdits = map[int64][]func(*clusterv1.Machine)
	edited := func(edits ...func(*clusterv1.Machine)) []func(*clusterv1.Machine) { return edits }
	unjoined := func(m *clusterv1.Machine) { m.Status.NodeRef.Name = ""; unready(m) }
	cases := map[string]struct {
		reason   string
		replicas int32
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		does     []string
		holds    []string
		allowed  string
		used     int32
		again    time.Duration
	}{
		"no budget": {
			reason: "nothing is said of any", replicas: 1, machines: fleetOf(4, nil), does: []string{"Delete 3", "Delete 2", "Delete 1"}, used: -1,
		},
		"a budget for more": {
			reason: "it holds nobody", replicas: 1, pool: edits(hasBudgets(budgetOf("3"))), machines: fleetOf(4, nil),
			does: []string{"Delete 3", "Delete 2", "Delete 1"}, allowed: "all 3", used: 3,
		},
		"a budget for fewer": {
			reason: "as many go as it allows", replicas: 1, pool: edits(hasBudgets(budgetOf("2"))), machines: fleetOf(4, nil),
			does:    []string{"Delete 3", "Delete 2"},
			holds:   []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[0] allows 2 of 4 nodes to be disrupted at one time, and 2 are, or are not available: " + name(2) + ", " + name(3)},
			allowed: "all 2", used: 2,
		},
		"those that leave count": {
			reason: "they are being drained", replicas: 1, pool: edits(hasBudgets(budgetOf("2"))), machines: fleetOf(4, machineEdits{3: edited(leaving)}),
			does:    []string{"Delete 2", "Release 3"},
			holds:   []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[0] allows 2 of 4 nodes to be disrupted at one time, and 2 are, or are not available: " + name(2) + ", " + name(3)},
			allowed: "all 2", used: 2,
		},
		"one that leaves and was no node": {
			reason: "nobody misses it", replicas: 1, pool: edits(hasBudgets(budgetOf("1"))), machines: fleetOf(3, machineEdits{2: edited(unjoined, leaving)}),
			does: []string{"Delete 1", "Release 2"}, allowed: "all 1", used: 1,
		},
		"those that are not available count": {
			reason: "somebody misses them already", replicas: 3, pool: edits(hasBudgets(budgetOf("1"), budgetOf("5"))),
			machines: fleetOf(4, machineEdits{0: edited(unready), 3: edited(deleteFirst)}),
			holds:    []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[0] allows 1 of 4 nodes to be disrupted at one time, and 1 is, or is not available: " + name(0)},
			allowed:  "all 1", used: 1,
		},
		"one that is not available goes": {
			reason: "it is none more", replicas: 3, pool: edits(hasBudgets(budgetOf("1"))), machines: fleetOf(5, machineEdits{0: edited(unready), 1: edited(unready)}),
			does: []string{"Delete 1", "Delete 0"}, allowed: "all 1", used: 2,
		},
		"none may be disrupted": {
			reason: "one that is not available neither: somebody may be at it", replicas: 1, pool: edits(hasBudgets(budgetOf("0%"))),
			machines: fleetOf(2, machineEdits{0: edited(unready)}),
			holds:    []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[0] allows no node to be disrupted"}, allowed: "all 0", used: 1,
		},
		"one that never was a node goes": {
			reason: "no pod is on it", replicas: 1, pool: edits(hasBudgets(budgetOf("0"))), machines: fleetOf(2, machineEdits{1: edited(unjoined)}),
			does: []string{"Delete 1"}, allowed: "all 0",
		},
		"of the other reason": {
			reason: "it has no say", replicas: 1, pool: edits(hasBudgets(budgetOf("0", forUpdate))), machines: fleetOf(2, nil),
			does: []string{"Delete 1"}, allowed: "Update 0", used: 1,
		},
		"an update": {
			reason: "it is held as well", replicas: 2, pool: edits(hasBudgets(budgetOf("0", forUpdate))),
			machines: fleetOf(2, machineEdits{0: edited(outdated), 1: edited(outdated)}), agents: agentsOf(2, "r0"),
			holds: []string{"Update 2 DisruptionBudget: spec.disruption.budgets[0] allows no node to be disrupted"}, allowed: "Update 0",
		},
		"an update within the budget": {
			reason: "the pool's other rules hold all the same", replicas: 3, pool: edits(hasBudgets(budgetOf("100%"))),
			machines: fleetOf(3, machineEdits{0: edited(outdated), 1: edited(outdated), 2: edited(outdated)}), agents: agentsOf(3, "r0"),
			does: []string{"Update 0"}, holds: []string{"Update 2 OneAtATime: " + name(0) + " is changed first"}, allowed: "all 3", used: 1,
		},
		"an update that has begun": {
			reason: "it is brought to its end, with its node drained", replicas: 2, pool: edits(isUpdating(0), hasBudgets(budgetOf("0"))),
			machines: fleetOf(2, machineEdits{0: edited(outdated), 1: edited(outdated)}), agents: agentsOf(2, "r0"),
			does: []string{"Update 0"}, holds: []string{"Update 1 OneAtATime: " + name(0) + " is changed first"}, allowed: "all 0", used: 1,
		},
		"an update of a machine that is no node yet": {
			reason: "it disrupts nobody", replicas: 1, pool: edits(hasBudgets(budgetOf("0"))),
			machines: fleetOf(1, machineEdits{0: edited(outdated, unjoined)}), agents: as(runs(0, "r0", unstarted)), does: []string{"Update 0"}, allowed: "all 0",
		},
		"an update of one on which nothing has worked": {
			reason: "the template may be its cure", replicas: 1, pool: edits(hasBudgets(budgetOf("0"))),
			machines: fleetOf(1, machineEdits{0: edited(outdated, unready)}), agents: as(runs(0, "r0", onlyTried)), does: []string{"Update 0"}, allowed: "all 0", used: 1,
		},
		"one that comes up": {
			reason: "it was never there to be missed", replicas: 2, pool: edits(hasBudgets(budgetOf("1"))),
			machines: fleetOf(3, machineEdits{2: edited(unready), 1: edited(deleteFirst)}), agents: as(runs(0, "r1"), runs(1, "r1"), runs(2, "r1", onlyTried)),
			does: []string{"Delete 1"}, allowed: "all 1", used: 1,
		},
		"the pool goes": {
			reason: "somebody said so", replicas: 2, pool: edits(isDeleting, hasBudgets(budgetOf("0"))), machines: fleetOf(2, nil),
			does: []string{"Delete 1", "Delete 0"}, allowed: "all 0", used: 2,
		},
		"machines are lacking": {
			reason: "to make one disrupts nobody", replicas: 2, pool: edits(hasBudgets(budgetOf("0"))), machines: fleetOf(1, nil), does: []string{"Create 9"}, allowed: "all 0",
		},
		"in a window": {
			reason: "it says until when, and that is when to look again", replicas: 1, pool: edits(hasBudgets(budgetOf("2"), nightly("0", "30 0 * * *"))), machines: fleetOf(2, nil),
			holds: []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[1], until 2026-01-01T01:30:00Z, allows no node to be disrupted"}, allowed: "all 0",
			again: 30 * time.Minute,
		},
		"before a window": {
			reason: "what is allowed changes by itself", replicas: 1, pool: edits(hasBudgets(budgetOf("1"), nightly("0", "0 3 * * *"))), machines: fleetOf(2, nil),
			does: []string{"Delete 1"}, allowed: "all 1", used: 1, again: 2 * time.Hour,
		},
		"before a window, with nothing to do": {
			reason: "the status says what is allowed", replicas: 1, pool: edits(hasBudgets(nightly("0", "0 3 * * *", forScaleDown))), machines: fleetOf(1, nil), again: 2 * time.Hour,
		},
		"nobody knows what they allow": {
			reason: "so nobody is disrupted", replicas: 1, pool: edits(hasBudgets(budgetOf("5"), nightly("0", "61 * * * *"))), machines: fleetOf(2, nil),
			holds: []string{`Delete 1 BudgetsInvalid: spec.disruption.budgets[1].schedule is "61 * * * *": it cannot be read`}, used: -1,
		},
		"nobody knows, and machines are lacking": {
			reason: "they are made", replicas: 2, pool: edits(hasBudgets(budgetOf("5%5"))), machines: fleetOf(1, nil), does: []string{"Create 9"}, used: -1,
		},
		"nobody knows, and the pool goes": {
			reason: "with the budgets that nobody understands", replicas: 2, pool: edits(isDeleting, hasBudgets(budgetOf("5%5"))), machines: fleetOf(1, nil), does: []string{"Delete 0"}, used: -1,
		},
	}
	for title, tc := range cases {
		t.Run(title, func(t *testing.T) {
			s := snapshot(newPool(tc.replicas, 9, tc.pool...), tc.machines...)
			s.Confirmed = true
			hasAgents(tc.agents...)(&s)
			if tc.edit != nil {
				tc.edit(&s)
			}
			result := Plan(s)
			var does, holds []string
			for _, a := range result.Actions {
				ordinal, _ := newFleet(Snapshot{Pool: newPool(0, 0)}).ordinal(a.Name)
				does = append(does, fmt.Sprintf("%s %d", a.Verb, ordinal))
			}
			for _, d := range result.Deferred {
				holds = append(holds, fmt.Sprintf("%s %d %s: %s", d.Verb, d.Count, d.Reason, d.Message))
			}
			if diff := cmp.Diff(tc.does, does); diff != "" {
				t.Errorf("%s: does (-want +got):\n%s", tc.reason, diff)
			}
			if len(holds) != len(tc.holds) || slices.ContainsFunc(holds, func(h string) bool {
				return !slices.ContainsFunc(tc.holds, func(want string) bool { return strings.HasPrefix(h, want) })
			}) {
				t.Errorf("%s: holds\n%s\nwant\n%s", tc.reason, strings.Join(holds, "\n"), strings.Join(tc.holds, "\n"))
			}
			if again := soon(result); tc.again != 0 && again != tc.again || tc.again == 0 && again > nextBatch {
				t.Errorf("%s: looks again after %s, want %s", tc.reason, again, tc.again)
			}
			status, _ := Report(s, result, Outcome{Deleted: result.Of(Delete), Updated: result.Of(Update)})
			if allowed, used := spentIn(status); allowed != tc.allowed || used != tc.used && tc.again == 0 {
				t.Errorf("%s: the status allows %q and %d are used, want %q and %d", tc.reason, allowed, used, tc.allowed, tc.used)
			}
		})
	}
}

// spentIn is what a status says of budgets, which of all reasons may be the same; -1 are used where it says nothing.
func spentIn(status v1alpha1.NodePoolStatus) (allowed string, used int32) {
	if status.Disruption == nil || status.Disruption.Used == nil {
		return "", -1
	}
	var list []string
	numbers := map[int32]bool{}
	for _, a := range status.Disruption.Allowed {
		list, numbers[*a.Nodes] = append(list, fmt.Sprintf("%s %d", a.Reason, *a.Nodes)), true
	}
	if len(list) == len(budget.Reasons) && len(numbers) == 1 {
		return fmt.Sprintf("all %d", *status.Disruption.Allowed[0].Nodes), *status.Disruption.Used
	}
	return strings.Join(list, " "), *status.Disruption.Used
}

func TestAPoolTellsOfItsBudgets(t *testing.T) {
	bad := snapshot(newPool(1, 1, hasBudgets(budgetOf("1", "Gossip"), nightly("0", "0 0 31 2 *"))), fleetOf(1, nil)...)
	status, events := Report(bad, Plan(bad), Outcome{})
	reason, message := messageOf(status, v1alpha1.StalledCondition)
	for _, field := range []string{"spec.disruption.budgets[0].reasons has", "spec.disruption.budgets[1].schedule is"} {
		if !strings.Contains(message, field) {
			t.Errorf("Stalled says %q, without %s", message, field)
		}
	}
	if c := condition(status, v1alpha1.ReadyCondition); reason != v1alpha1.ReasonBudgetsInvalid || c.Status == "True" {
		t.Errorf("a pool whose budgets nobody understands is Stalled with %s, and Ready %s", reason, c.Status)
	}
	if len(events) != 1 || events[0].Reason != v1alpha1.ReasonBudgetsInvalid || events[0].Type != "Warning" {
		t.Errorf("it is told as %+v", events)
	}

	held := snapshot(newPool(1, 3, hasBudgets(budgetOf("1"))), fleetOf(3, nil)...)
	plan := Plan(held)
	status, events = Report(held, plan, Outcome{Deleted: plan.Of(Delete)})
	if _, message := messageOf(status, v1alpha1.ReconcilingCondition); !strings.Contains(message, "; 1 waits: spec.disruption.budgets[0] allows 1 of 3 nodes") {
		t.Errorf("Reconciling says %q, and not what the other one waits for", message)
	}
	if !slices.ContainsFunc(events, func(e Event) bool {
		return e.Reason == DeferredBudget && e.Action == string(Delete) && e.Type == "Normal"
	}) {
		t.Errorf("that it waits is not told: %+v", events)
	}
}

// TestWhatIsUsedIsWrittenOnce: the next round, which sees what this one did, says the same.
func TestWhatIsUsedIsWrittenOnce(t *testing.T) {
	s := snapshot(newPool(1, 4, hasBudgets(budgetOf("2"))), fleetOf(4, nil)...)
	plan := Plan(s)
	status, _ := Report(s, plan, Outcome{Deleted: plan.Of(Delete)})
	next := snapshot(s.Pool.DeepCopy(), fleetOf(4, map[int64][]func(*clusterv1.Machine){2: {leaving}, 3: {leaving}})...)
	next.Pool.Status = status
	again, _ := Report(next, Plan(next), Outcome{})
	if diff := cmp.Diff(status.Disruption, again.Disruption); diff != "" {
		t.Errorf("(-this round +the next):\n%s", diff)
	}
}

// TestUpdatesAreConfirmedWithinTheBudget: what no budget allows is nothing to read the API server for.
func TestUpdatesAreConfirmedWithinTheBudget(t *testing.T) {
	for nodes, want := range map[string]int{"0": 0, "1": 1} {
		s := snapshot(newPool(2, 2, hasBudgets(budgetOf(nodes))), fleetOf(2, map[int64][]func(*clusterv1.Machine){0: {outdated}, 1: {outdated}})...)
		hasAgents(agentsOf(2, "r0")...)(&s)
		s.Confirmed = false
		if got := Plan(s).Confirm; len(got) != want {
			t.Errorf("with a budget of %s the API server is asked for %q, want %d", nodes, got, want)
		}
	}
}
