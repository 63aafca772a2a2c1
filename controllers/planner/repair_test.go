package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// repairs has a pool's machines replaced that are unhealthy for ten minutes, of which it has seen all since the epoch.
func repairs(most string, edits ...func(*v1alpha1.NodePool)) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Repair = v1alpha1.NodePoolRepair{Ladder: []v1alpha1.RepairRung{v1alpha1.RepairReplace}, MaxUnhealthy: ptr.To(intstr.Parse(most))}
		p.Status.Repair = &v1alpha1.NodePoolRepairStatus{WatchedSince: metav1.NewTime(epoch)}
		for _, edit := range edits {
			edit(p)
		}
	}
}

// isRepairing says that the machine of an ordinal is being replaced, with those made since that have the next or a greater one.
func isRepairing(ordinal, next int64, attempt int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		m := newMachine(ordinal)
		p.Status.Repair.Current = &v1alpha1.MachineRepair{
			Machine: m.Name, MachineUID: string(m.UID), Rung: v1alpha1.RepairReplace, StartedAt: metav1.NewTime(epoch), NextOrdinal: &next, Revision: "r1", Attempt: attempt, Message: "it was ill",
		}
	}
}

func wasFrozen(p *v1alpha1.NodePool) {
	p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{Type: v1alpha1.RepairFrozenCondition, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonTooManyUnhealthy})
}

func annotated(key string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) { m.Annotations = map[string]string{key: ""} }
}

// coming is a machine that is made, and has yet to become a node.
func coming(m *clusterv1.Machine) {
	m.Status.NodeRef.Name = ""
	m.CreationTimestamp = metav1.NewTime(epoch.Add(55 * time.Minute))
	unready(m)
}

// stillborn is one that has had its time.
func stillborn(m *clusterv1.Machine) {
	coming(m)
	m.CreationTimestamp = metav1.NewTime(epoch)
	since(30, neverReported)(m)
}

func TestRepair(t *testing.T) {
	type of = map[int64][]func(*clusterv1.Machine)
	name := func(ordinal int64) string { return newMachine(ordinal).Name }
	budget := func(nodes string, reasons ...v1alpha1.DisruptionReason) func(*v1alpha1.NodePool) {
		return hasBudgets(budgetOf(nodes, reasons...))
	}
	for title, tc := range map[string]struct {
		reason   string
		replicas int32
		pool     []func(*v1alpha1.NodePool)
		most     string
		machines of
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		does     []string
		holds    []string
		frozen   string
	}{
		"all are well":          {reason: "there is nothing to repair", replicas: 3},
		"not asked for":         {reason: "what is not repaired waits for nobody", replicas: 3, pool: edits(func(p *v1alpha1.NodePool) { p.Spec.Repair = v1alpha1.NodePoolRepair{} }), machines: of{1: {dead(10)}}},
		"dead for long":         {reason: "it is replaced", replicas: 3, machines: of{1: {dead(50)}}, does: []string{"Delete 1"}},
		"dead for a short time": {reason: "it may come back", replicas: 3, machines: of{1: {dead(51)}}},
		"sick for long":         {reason: "its agent could not mend it", replicas: 3, machines: of{2: {sick(10)}}, does: []string{"Delete 2"}},
		"never joined":          {reason: "no pod was ever there, so no budget holds it", replicas: 3, pool: edits(budget("0")), machines: of{2: {stillborn}}, does: []string{"Delete 2"}},
		"two":                   {reason: "the one that is ill for longer goes first, and the other waits", replicas: 5, machines: of{1: {dead(30)}, 2: {dead(40)}}, does: []string{"Delete 1"}, holds: []string{"Delete 1 OneAtATime: " + name(1) + " is repaired first"}},
		"one too many of them": {
			reason: "it is not these machines then", replicas: 5, machines: of{1: {dead(40)}, 2: {dead(30)}, 3: {sick(59)}},
			holds:  []string{"Delete 2 RepairFrozen: 3 of 5 machines are unhealthy, and with more than 2 none is repaired (spec.repair.maxUnhealthy): " + strings.Join([]string{name(1), name(2), name(3)}, ", ")},
			frozen: v1alpha1.ReasonTooManyUnhealthy,
		},
		"as many as one wants": {reason: "a person said so", replicas: 3, most: "100%", machines: of{0: {sick(20)}, 1: {sick(30)}, 2: {sick(40)}}, does: []string{"Delete 0"}, holds: []string{"Delete 2 OneAtATime: " + name(0) + " is repaired first"}},
		"nothing heard of any": {
			reason: "whatever may be unhealthy, it is the network", replicas: 3, most: "100%", machines: of{0: {dead(40)}, 1: {dead(30)}, 2: {dead(20)}},
			holds:  []string{"Delete 3 RepairFrozen: nothing is heard of any of the pool's 3 nodes: none is repaired, as it may be the network that fails, or the way to the API server. If a machine is broken, delete it to have it replaced"},
			frozen: v1alpha1.ReasonNothingHeard,
		},
		"nothing heard of the one": {
			reason: "nobody can tell a node that is cut off from a dead one", replicas: 1, machines: of{0: {dead(40)}},
			holds:  []string{"Delete 1 RepairFrozen: nothing is heard of the pool's one node: none is repaired, as it may be the network that fails, or the way to the API server. If a machine is broken, delete it to have it replaced"},
			frozen: v1alpha1.ReasonNothingHeard,
		},
		"nothing heard of any but one that comes up": {reason: "it says nothing of the others", replicas: 2, most: "2", machines: of{0: {dead(40)}, 1: {coming}}, holds: []string{"Delete 1 RepairFrozen: nothing is heard of the pool's one node: none is repaired, as it may be the network that fails, or the way to the API server. If a machine is broken, delete it to have it replaced"}, frozen: v1alpha1.ReasonNothingHeard},
		"the one is off":              {reason: "its provider knows", replicas: 1, machines: of{0: {dead(20), since(30, infraSays(v1alpha1.ReasonStopped))}}, does: []string{"Delete 0"}},
		"frozen until now":            {reason: "those that have yet to recover have all their time again", replicas: 3, pool: edits(wasFrozen), machines: of{1: {dead(10)}}},
		"its status was lost":         {reason: "nobody knows what was before", replicas: 3, pool: edits(func(p *v1alpha1.NodePool) { p.Status.Repair = nil }), machines: of{1: {dead(10)}}},
		"the manager was away":        {reason: "silence while nobody listened is no evidence", replicas: 3, machines: of{1: {dead(10)}}, edit: func(s *Snapshot) { s.ListeningSince = epoch.Add(51 * time.Minute) }},
		"the manager has seen enough": {reason: "ten minutes of it", replicas: 3, machines: of{1: {dead(10)}}, edit: func(s *Snapshot) { s.ListeningSince = epoch.Add(50 * time.Minute) }, does: []string{"Delete 1"}},
		"paused":                      {reason: "nothing is changed", replicas: 3, pool: edits(isPaused), machines: of{1: {dead(10)}}, holds: []string{"Delete 1 Paused: spec.paused is set"}},
		"stopped":                     {reason: "whoever stops a fleet wants to look", replicas: 3, edit: isStopped, machines: of{1: {dead(10)}}, holds: []string{"Delete 1 FleetStopped: the annotation stops the fleet: a fire"}},
		"deleting":                    {reason: "it goes anyway", replicas: 2, pool: edits(isDeleting), machines: of{1: {dead(10)}}, does: []string{"Delete 1", "Delete 0"}},
		"too many machines":           {reason: "the broken one is the one too many", replicas: 2, machines: of{0: {dead(10)}, 1: nil, 2: nil}, does: []string{"Delete 0"}},
		"on hold":                     {reason: "somebody wants to look at it", replicas: 3, machines: of{1: {dead(10), annotated(v1alpha1.ForensicHoldAnnotation)}}, holds: []string{"Delete 1 RepairHeld: " + name(1) + " is annotated fleet.drover.dev/forensic-hold"}},
		"on Cluster API's hold":       {reason: "it is as good", replicas: 3, machines: of{1: {dead(10), annotated(clusterv1.MachineSkipRemediationAnnotation)}}, holds: []string{"Delete 1 RepairHeld: " + name(1) + " is annotated cluster.x-k8s.io/skip-remediation"}},
		"on hold, and another":        {reason: "the other one is repaired", replicas: 5, machines: of{1: {dead(10), annotated(v1alpha1.ForensicHoldAnnotation)}, 2: {dead(20)}}, does: []string{"Delete 2"}, holds: []string{"Delete 1 RepairHeld: " + name(1) + " is annotated fleet.drover.dev/forensic-hold"}},
		"a budget for one":            {reason: "the node that is down is it", replicas: 3, pool: edits(budget("1")), machines: of{1: {dead(10)}}, does: []string{"Delete 1"}},
		"a budget for none":           {reason: "somebody may be at it", replicas: 3, pool: edits(budget("0")), machines: of{1: {dead(10)}}, holds: []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[0] allows no node to be disrupted"}},
		"a budget of repairs":         {reason: "it is about them", replicas: 3, pool: edits(budget("0", v1alpha1.DisruptionRepair)), machines: of{1: {dead(10)}}, holds: []string{"Delete 1 DisruptionBudget: spec.disruption.budgets[0] allows no node to be disrupted"}},
		"a budget of updates":         {reason: "it has no say", replicas: 3, pool: edits(budget("0", forUpdate)), machines: of{1: {dead(10)}}, does: []string{"Delete 1"}},
		"stalled": {
			reason: "no other could be made", replicas: 3, machines: of{1: {dead(10)}}, edit: func(s *Snapshot) { s.Problems = []Problem{{Reason: "R", Message: "no bundle"}} },
			holds: []string{"Delete 1 Stalled: no machine could be made in its place: no bundle"},
		},
		"an unknown template": {
			reason: "no other could be made", replicas: 3, machines: of{1: {dead(10)}}, edit: func(s *Snapshot) { s.Revision = "" },
			holds: []string{"Delete 1 Stalled: no machine could be made in its place: the revision of the template is not known"},
		},
		"refused": {
			reason: "no other could be made", replicas: 3, machines: of{1: {dead(10)}}, edit: func(s *Snapshot) { s.Refused = &Refusal{Message: "quota"} },
			holds: []string{"Delete 1 Refused: no machine could be made in its place: quota"},
		},
		"the one that went back": {
			reason: "without it, another one is given what does not work", replicas: 3, machines: of{1: {dead(10)}}, agents: as(runs(0, "r0"), runs(1, "r0", wentBack("r1")), runs(2, "r0")),
			holds: []string{"Delete 1 RolledBack: " + name(1) + " went back from revision r1, which would be tried on the one in its place: change the template", "Update 2 RolledBack: " + name(1) + " went back from revision r1"},
		},
		"a machine goes":                {reason: "by whomever", replicas: 3, machines: of{0: nil, 1: {dead(10)}, 2: nil, 3: {leaving}}, does: []string{"Release 3"}, holds: []string{"Delete 1 OneAtATime: " + name(3) + " is being deleted"}},
		"a machine is lacking":          {reason: "there are few enough", replicas: 3, pool: edits(func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To(int32(4)) }), machines: of{1: {dead(10)}}, does: []string{"Create 3"}, holds: []string{"Delete 1 OneAtATime: 1 machine is lacking"}},
		"another comes up":              {reason: "it is no repair's", replicas: 3, machines: of{1: {dead(10)}, 2: {coming}}, does: []string{"Delete 1"}},
		"begun and not done":            {reason: "a manager died in between: that one it is, and no other", replicas: 5, pool: edits(isRepairing(2, 5, 1)), machines: of{1: {dead(10)}, 2: {dead(20)}}, does: []string{"Delete 2"}, holds: []string{"Delete 1 OneAtATime: " + name(2) + " is repaired first"}},
		"begun, and it recovered":       {reason: "it is not replaced, and another one is", replicas: 5, pool: edits(isRepairing(2, 5, 1)), machines: of{1: {dead(10)}}, does: []string{"Delete 1"}},
		"the one in its place comes up": {reason: "nobody knows yet whether it helps", replicas: 3, pool: edits(isRepairing(9, 2, 1)), machines: of{1: {dead(10)}, 2: {coming}}, holds: []string{"Delete 1 OneAtATime: " + name(2) + ", made in the place of " + name(9) + ", has to come up first"}},
		"the one in its place is up":    {reason: "the next one follows", replicas: 3, pool: edits(isRepairing(9, 2, 1)), machines: of{1: {dead(10)}}, does: []string{"Delete 1"}},
		"the one in its place is not":   {reason: "it is tried once more", replicas: 3, pool: edits(isRepairing(9, 2, 1)), machines: of{2: {stillborn}}, does: []string{"Delete 2"}},
		"it was tried thrice": {
			reason: "no machine is to blame", replicas: 3, pool: edits(isRepairing(9, 2, 3)), machines: of{2: {stillborn}},
			holds:  []string{"Delete 1 RepairFrozen: 3 machines in a row that were made in the place of unhealthy ones did not come up, the last in that of " + name(9) + ": none is repaired until one comes up, or the template is another one"},
			frozen: v1alpha1.ReasonReplacementsFailed,
		},
		"thrice, and the template is another one": {reason: "it may be the cure", replicas: 3, pool: edits(isRepairing(9, 2, 3), func(p *v1alpha1.NodePool) { p.Status.Repair.Current.Revision = "r0" }), machines: of{2: {stillborn}}, does: []string{"Delete 2"}},
		"the pool needs no other":                 {reason: "it was made smaller meanwhile", replicas: 3, pool: edits(isRepairing(9, 7, 3)), machines: of{1: {dead(10)}}, does: []string{"Delete 1"}},
	} {
		t.Run(title, func(t *testing.T) {
			s := repairSnapshot(tc.replicas, tc.most, tc.machines, tc.pool...)
			if tc.agents != nil {
				hasAgents(tc.agents...)(&s)
			}
			if tc.edit != nil {
				tc.edit(&s)
			}
			result := Plan(s)
			var does, holds []string
			for _, a := range result.Actions {
				ordinal, _ := newFleet(s).ordinal(a.Name)
				does = append(does, fmt.Sprintf("%s %d", a.Verb, ordinal))
			}
			for _, d := range result.Deferred {
				holds = append(holds, fmt.Sprintf("%s %d %s: %s", d.Verb, d.Count, d.Reason, d.Message))
			}
			if diff := cmp.Diff(tc.does, does); diff != "" {
				t.Errorf("%s: does (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.holds, holds); diff != "" {
				t.Errorf("%s: holds (-want +got):\n%s", tc.reason, diff)
			}
			status, _ := Report(s, result, Outcome{})
			if reason, _ := messageOf(status, v1alpha1.RepairFrozenCondition); reason != tc.frozen {
				t.Errorf("%s: it is frozen with %q, want %q", tc.reason, reason, tc.frozen)
			}
		})
	}
}

// repairSnapshot is of a pool of machines with Nodes, as many as it wants or as are given, each with what else is so. All that matters was
// read from the API server.
func repairSnapshot(replicas int32, most string, machines map[int64][]func(*clusterv1.Machine), pool ...func(*v1alpha1.NodePool)) Snapshot {
	if most == "" {
		most = "40%"
	}
	n := int64(replicas)
	for ordinal := range machines {
		n = max(n, ordinal+1)
	}
	all := map[int64][]func(*clusterv1.Machine){}
	for i := range n {
		all[i] = append([]func(*clusterv1.Machine){agentWell, nodeReady}, machines[i]...)
	}
	list := fleetOf(n, all)
	agents := agentsOf(n, "r1")
	for i, m := range list {
		if !m.Status.NodeRef.IsDefined() {
			unstarted(agents[i])
		}
	}
	s := snapshot(newPool(replicas, n, append([]func(*v1alpha1.NodePool){repairs(most)}, pool...)...), list...)
	hasAgents(agents...)(&s)
	return s
}

func TestARepairIsWrittenFirst(t *testing.T) {
	s := repairSnapshot(5, "", map[int64][]func(*clusterv1.Machine){1: {dead(10)}})
	s.Confirmed, s.Live = false, false
	plan := Plan(s)
	if len(plan.Actions) > 0 || !plan.Live || !slices.Equal(plan.Confirm, []string{newMachine(1).Name}) {
		t.Fatalf("on the ground of a cache it does %v, and wants %v confirmed, live %t", plan.Actions, plan.Confirm, plan.Live)
	}
	s.Confirmed, s.Live = true, false
	if plan := Plan(s); len(plan.Actions) > 0 {
		t.Fatalf("without having seen all machines it does %v", plan.Actions)
	}
	s.Live = true
	plan = Plan(s)
	want := &v1alpha1.MachineRepair{
		Machine: newMachine(1).Name, MachineUID: string(newMachine(1).UID), Rung: v1alpha1.RepairReplace, StartedAt: metav1.NewTime(s.Now), NextOrdinal: ptr.To(int64(5)),
		Revision: "r1", Attempt: 1, Message: "it is unhealthy since 2026-01-01T00:10:00Z: its agent: NotReported",
	}
	if diff := cmp.Diff(want, plan.Repair); diff != "" {
		t.Fatalf("the status is to have (-want +got):\n%s", diff)
	}
	status, events := Report(s, plan, Outcome{Deleted: plan.Of(Delete)})
	if diff := cmp.Diff(want, status.Repair.Current); diff != "" {
		t.Errorf("the status has (-want +got):\n%s", diff)
	}
	reason, message := messageOf(status, v1alpha1.ReconcilingCondition)
	if reason != v1alpha1.ReasonRepairing || message != "Machine "+want.Machine+" is replaced: "+want.Message {
		t.Errorf("the pool says %s: %s", reason, message)
	}
	if len(events) != 1 || events[0].Reason != v1alpha1.ReasonMachineDeleted || !strings.Contains(events[0].Note, want.Message) {
		t.Errorf("it is told as %+v", events)
	}
	s.Pool.Status = status
	if again := Plan(s); again.Repair != status.Repair.Current {
		t.Errorf("a manager that starts in between begins another one: %+v", again.Repair)
	}
}

// TestTheNextAttemptIsCounted until one helps.
func TestTheNextAttemptIsCounted(t *testing.T) {
	s := repairSnapshot(3, "", map[int64][]func(*clusterv1.Machine){2: {stillborn}}, isRepairing(9, 2, 1))
	if got := Plan(s).Repair; got == nil || got.Attempt != 2 || got.Machine != newMachine(2).Name {
		t.Errorf("got %+v, want the second attempt", got)
	}
	s = repairSnapshot(3, "", nil, isRepairing(9, 2, 2))
	if status, _ := Report(s, Plan(s), Outcome{}); status.Repair.Current != nil {
		t.Errorf("the one in its place is well, and the status has %+v", status.Repair.Current)
	}
}

func TestThePoolSaysWhoIsUnhealthy(t *testing.T) {
	s := repairSnapshot(5, "", map[int64][]func(*clusterv1.Machine){1: {dead(55)}, 2: {sick(40), annotated(v1alpha1.ForensicHoldAnnotation)}})
	status, _ := Report(s, Plan(s), Outcome{})
	at := func(minute int) metav1.Time { return metav1.NewTime(epoch.Add(time.Duration(minute) * time.Minute)) }
	want := &v1alpha1.NodePoolRepairStatus{
		WatchedSince: at(0), Unhealthy: ptr.To(int32(2)), Allowed: ptr.To(int32(2)),
		Machines: []v1alpha1.UnhealthyMachine{
			{Name: newMachine(2).Name, Since: at(40), Evidence: "Unwell", Message: "its agent: RepairExhausted"},
			{Name: newMachine(1).Name, Since: at(55), Evidence: "Silent", Message: "its agent: NotReported", NextRung: v1alpha1.RepairReplace, NextAt: at(65)},
		},
	}
	if diff := cmp.Diff(want, status.Repair); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	said := Explain(s)
	for name, state := range map[string]string{
		newMachine(1).Name: "is unhealthy since 2026-01-01T00:55:00Z: its agent: NotReported; it is replaced at 2026-01-01T01:05:00Z unless it recovers",
		newMachine(2).Name: "is unhealthy since 2026-01-01T00:40:00Z: its agent: RepairExhausted; it is left as it is, as it is annotated fleet.drover.dev/forensic-hold",
	} {
		if !slices.Contains(said.Machines, Standing{name, state}) {
			t.Errorf("%s is not said to be as it is: %+v", name, said.Machines)
		}
	}
}

// TestAPoolIsLookedAtAgain when a machine's time is over that nobody writes of, and often enough not to miss anything.
func TestAPoolIsLookedAtAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		machine func(*clusterv1.Machine)
		want    time.Duration
	}{
		"nobody is ill":       {func(*clusterv1.Machine) {}, 0},
		"one is for long":     {dead(55), watchEvery},
		"one is almost due":   {since(50, func(m *clusterv1.Machine) { dead(50)(m) }), watchEvery},
		"one has yet to join": {coming, 10 * time.Minute},
	} {
		s := repairSnapshot(3, "", map[int64][]func(*clusterv1.Machine){1: {tc.machine}})
		if name == "one is almost due" {
			s.Now = s.Now.Add(-5 * time.Second)
			tc.want = 5 * time.Second
		}
		if got := Plan(s).RequeueAfter; got != tc.want {
			t.Errorf("%s: it is looked at again after %s, want %s", name, got, tc.want)
		}
	}
}

// TestAFreezeEndsForEverybody: what a partition left unhealthy has all its time again when the others are back.
func TestAFreezeEndsForEverybody(t *testing.T) {
	ill := map[int64][]func(*clusterv1.Machine){0: {dead(10)}, 1: {dead(10)}, 2: {dead(10)}}
	s := repairSnapshot(5, "", ill)
	status, events := Report(s, Plan(s), Outcome{})
	if reason, _ := messageOf(status, v1alpha1.RepairFrozenCondition); reason != v1alpha1.ReasonTooManyUnhealthy {
		t.Fatalf("it is frozen with %q", reason)
	}
	if !slices.ContainsFunc(events, func(e Event) bool { return e.Reason == v1alpha1.ReasonTooManyUnhealthy && e.Type == "Warning" }) {
		t.Errorf("it is not told: %+v", events)
	}
	delete(ill, 1)
	next := repairSnapshot(5, "", ill)
	next.Pool.Status, next.Now = status, s.Now.Add(time.Second)
	plan := Plan(next)
	thawed, _ := Report(next, plan, Outcome{})
	if reason, _ := messageOf(thawed, v1alpha1.RepairFrozenCondition); len(plan.Actions) > 0 || reason != "" || !thawed.Repair.WatchedSince.Time.Equal(next.Now) {
		t.Fatalf("when it ends, it does %v, is frozen with %q, and watches since %s", plan.Actions, reason, thawed.Repair.WatchedSince)
	}
	for after, want := range map[time.Duration]int{9 * time.Minute: 0, 10 * time.Minute: 1} {
		last := repairSnapshot(5, "", ill)
		last.Pool.Status, last.Now = thawed, next.Now.Add(after)
		if got := Plan(last).Of(Delete); len(got) != want {
			t.Errorf("%s after it ended it does %v", after, got)
		}
	}
}
