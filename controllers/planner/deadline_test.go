package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// soon is when to plan again, but for the deadline of a rollout that has just got on, which most have.
func soon(result Result) time.Duration {
	if result.RequeueAfter == defaultProgressDeadline*time.Second {
		return 0
	}
	return result.RequeueAfter
}

// gotOn says that the pool's status has its rollout to r1 as having got on last so long ago, when so many ran it.
func gotOn(ago time.Duration, updated int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		if p.Status.Rollout == nil {
			p.Status.Rollout = &v1alpha1.NodePoolRolloutStatus{}
		}
		r := p.Status.Rollout
		r.Revision, r.Phase, r.StartedAt = "r1", v1alpha1.RolloutPhaseRolling, metav1.NewTime(epoch)
		r.ProgressedAt, r.Updated = metav1.NewTime(epoch.Add(time.Hour-ago)), &updated
	}
}

func hasDeadline(seconds int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Rollout.ProgressDeadlineSeconds = &seconds }
}

func TestARolloutHasToGetOn(t *testing.T) {
	const long, short = 601 * time.Second, 599 * time.Second
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined, readySince(time.Hour)}, edits...)...)
	}
	goingSince := func(ago time.Duration) func(*clusterv1.Machine) {
		return func(m *clusterv1.Machine) { m.DeletionTimestamp = &metav1.Time{Time: epoch.Add(time.Hour - ago)} }
	}
	name := newMachine(0).Name
	stuck := as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0"))
	old := as(runs(0, "r0"), runs(1, "r0"))
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		drains   string
		// ago is how long ago the status has it that the rollout got on; below zero for no time at all.
		ago time.Duration
		// overdue is a part of what the pool says that is stalled for it; empty where it is not.
		overdue string
		again   time.Duration
	}{
		"its time is not over":        {reason: "it is looked at again when it is", pool: edits(isUpdating(0), gotOn(short, 0)), agents: stuck, ago: short, again: time.Second},
		"its time is over":            {reason: "the node that all wait for is named, and why", pool: edits(isUpdating(0), gotOn(long, 0)), agents: stuck, ago: long, overdue: "0 of 2 machines run revision r1; " + name + " is in Probation with revision r1"},
		"another time":                {reason: "it is the user's to say", pool: edits(isUpdating(0), gotOn(long, 0), hasDeadline(3600)), agents: stuck, ago: long, again: time.Hour - long},
		"no time is known":            {reason: "a status was lost: it begins anew", pool: edits(isUpdating(0)), agents: stuck, ago: 0, again: 10 * time.Minute},
		"of another revision":         {reason: "an edit begins anew", pool: edits(isUpdating(0), gotOn(long, 0), func(p *v1alpha1.NodePool) { p.Status.Rollout.Revision = "r0" }), agents: stuck, ago: 0, again: 10 * time.Minute},
		"one more has proved itself":  {reason: "it got on, though that one has to become well", pool: edits(isUpdating(0), gotOn(long, 0)), machines: ms(made(0, unready), made(1)), agents: as(runs(0, "r1"), runs(1, "r0")), ago: 0, again: 10 * time.Minute},
		"it proved itself long ago":   {reason: "and is not well since", pool: edits(isUpdating(0), gotOn(long, 1)), machines: ms(made(0, unready), made(1)), agents: as(runs(0, "r1"), runs(1, "r0")), ago: long, overdue: name + " runs revision r1 and is not ready"},
		"the next one begins":         {reason: "the change of a node begins", pool: edits(isUpdating(0), gotOn(long, 1)), agents: as(runs(0, "r1"), runs(1, "r0")), ago: 0, again: 10 * time.Minute},
		"a drain is blocked":          {reason: "the pod is named", pool: edits(isUpdating(0), gotOn(long, 0)), agents: old, drains: "Pod default/web cannot be evicted", ago: long, overdue: name + " is drained before it is given revision r1: Pod default/web cannot be evicted"},
		"one is not heard of":         {reason: "nobody else has anything to do, and it does not come back", pool: edits(gotOn(long, 1)), machines: ms(made(0, silent), made(1)), agents: as(runs(0, "r0"), runs(1, "r1")), ago: long, overdue: "nothing is heard of " + name},
		"it is deleted":               {reason: "it has as long to go as a node has to be changed", pool: edits(wants(1), gotOn(long, 0)), machines: ms(made(0, goingSince(time.Minute)), made(1)), agents: old, ago: long, again: 9 * time.Minute},
		"it is deleted for long":      {reason: "the others wait for it in vain", pool: edits(wants(1), gotOn(long, 0)), machines: ms(made(0, goingSince(long)), made(1)), agents: old, ago: long, overdue: name + " is being deleted"},
		"paused":                      {reason: "somebody said so", pool: edits(isPaused, isUpdating(0), gotOn(long, 0)), agents: stuck, ago: -1},
		"the fleet is stopped":        {reason: "somebody said so", pool: edits(gotOn(long, 0)), agents: old, edit: isStopped, ago: -1},
		"a template without a bundle": {reason: "that stalls the pool already", pool: edits(isUpdating(0), gotOn(long, 0)), agents: stuck, edit: func(s *Snapshot) { s.Problems = []Problem{{Reason: "BundleNotFound", Message: "none"}} }, ago: -1},
		"no budget is left":           {reason: "a budget has its end, which its user knows", pool: edits(gotOn(long, 0), hasBudgets(budgetOf("0"))), agents: old, ago: -1},
		"a budget and a stuck node":   {reason: "what has begun is brought to its end, and is not", pool: edits(isUpdating(0), gotOn(long, 0), hasBudgets(budgetOf("0"))), agents: stuck, ago: long, overdue: name + " is in Probation"},
		"it has to stay ready":        {reason: "the user asked for that time", pool: edits(hasToStayReady(3600), isReady(0, long), isUpdating(0), gotOn(long, 1)), agents: as(runs(0, "r1"), runs(1, "r0")), ago: -1, again: time.Hour - long},
		"one of two has to":           {reason: "the other one is stuck", pool: edits(mayMiss("2"), hasToStayReady(3600), isReady(0, long), isUpdating(0, 1), gotOn(long, 1)), agents: as(runs(0, "r1"), runs(1, "r1", given("r1", v1alpha1.PhaseProbation))), ago: long, overdue: "is in Probation", again: time.Hour - long},
		"the canary soaks":            {reason: "the user asked for that time", pool: edits(hasCanary(1, 3600), rollsOut("r1", v1alpha1.RolloutPhaseSoaking, long)), agents: as(runs(0, "r1"), runs(1, "r0")), ago: -1, again: time.Hour - long},
		"it went back":                {reason: "that stalls the pool already", pool: edits(isUpdating(0), gotOn(long, 0)), agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0")), ago: -1},
		"a machine does not join":     {reason: "it has a time of its own", pool: edits(gotOn(long, 1)), machines: ms(made(0), newMachine(1, unready)), agents: as(runs(0, "r1"), runs(1, "r1", unstarted)), ago: -1},
		"it fell ill afterwards":      {reason: "no rollout waits for it", pool: edits(gotOn(long, 2)), machines: ms(made(0, unready), made(1)), agents: as(runs(0, "r1"), runs(1, "r1")), ago: -1},
		"all is done":                 {reason: "there is nothing to get on with", pool: edits(gotOn(long, 2)), agents: as(runs(0, "r1"), runs(1, "r1")), ago: -1},
		"the pool is being deleted":   {reason: "there is no rollout", pool: edits(isDeleting, isUpdating(0), gotOn(long, 0)), agents: stuck, ago: -1},
		"nobody knows what to":        {reason: "that stalls the pool already", pool: edits(isUpdating(0), gotOn(long, 0)), agents: stuck, edit: func(s *Snapshot) { s.Revision, s.Problems = "", []Problem{{Reason: "BundleNotFound", Message: "none"}} }, ago: -1},
	} {
		t.Run(what, func(t *testing.T) {
			if c.machines == nil {
				c.machines = ms(made(0), made(1))
			}
			s := snapshot(newPool(int32(len(c.machines)), 9, c.pool...), c.machines...) //nolint:gosec // two
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result, outcome := Plan(s), Outcome{}
			if c.drains != "" {
				outcome.Drains = []Drain{{Name: name, Message: c.drains}}
			}
			status, _ := Report(s, result, outcome)
			at := metav1.Time{}
			if status.Rollout != nil {
				at = status.Rollout.ProgressedAt
			}
			if want := metav1.NewTime(s.Now.Add(-c.ago)); c.ago < 0 && !at.IsZero() || c.ago >= 0 && !at.Equal(&want) {
				t.Errorf("%s: it got on at %s, want %s ago", c.reason, at, c.ago)
			}
			reason, message := messageOf(status, v1alpha1.StalledCondition)
			if overdue := reason == v1alpha1.ReasonProgressDeadlineExceeded; overdue != (c.overdue != "") || overdue && !strings.Contains(message, c.overdue) {
				t.Errorf("%s: it is stalled for %s %q, want %q", c.reason, reason, message, c.overdue)
			}
			if overdue := condition(status, v1alpha1.RolloutCompleteCondition).Reason == v1alpha1.ReasonProgressDeadlineExceeded; overdue != (c.overdue != "") {
				t.Errorf("%s: RolloutComplete is %+v", c.reason, condition(status, v1alpha1.RolloutCompleteCondition))
			}
			if complaint := kstatusComplaint(s.Pool.Generation, status); complaint != "" {
				t.Errorf("kstatus misreads it: %s", complaint)
			}
			if after := result.RequeueAfter; after != c.again && after != nextBatch {
				t.Errorf("%s: it is planned again after %s, want %s", c.reason, after, c.again)
			}
		})
	}
}

// TestARolloutThatDoesNotGetOnSaysSoOnce, and goes on when it can: nothing is taken back, whatever onFailure says.
func TestARolloutThatDoesNotGetOnSaysSoOnce(t *testing.T) {
	s := snapshot(newPool(2, 9, rollsBack), newMachine(0, outdated, joined), newMachine(1, outdated, joined))
	hasAgents(runs(0, "r0"), runs(1, "r0"))(&s)
	round := func(later time.Duration) []string {
		s.Now = s.Now.Add(later)
		result := Plan(s)
		var events []Event
		s.Pool = s.Pool.DeepCopy()
		s.Pool.Status, events = Report(s, result, Outcome{Updated: result.Of(Update)})
		for _, a := range result.Of(Update) {
			hasAgents(runs(0, "r0", given(a.Revision, v1alpha1.PhaseProbation)), runs(1, "r0"))(&s)
		}
		var said []string
		for _, e := range events {
			said = append(said, e.Reason)
		}
		return said
	}
	for i, want := range [][]string{
		{v1alpha1.ReasonMachineUpdated}, nil, {v1alpha1.ReasonProgressDeadlineExceeded}, nil, nil,
	} {
		if got := round(5 * time.Minute); !slices.Equal(got, want) {
			t.Fatalf("round %d has the events %v, want %v: %+v", i, got, want, s.Pool.Status.Rollout)
		}
	}
	hasAgents(runs(0, "r1"), runs(1, "r0"))(&s)
	if got := round(time.Minute); !slices.Equal(got, []string{v1alpha1.ReasonMachineUpdated}) || condition(s.Pool.Status, v1alpha1.StalledCondition) != nil {
		t.Errorf("when that node is done, the next one follows, and nothing is stalled: %v, %+v", got, s.Pool.Status.Conditions)
	}
}

// TestARolloutSaysHowFarItIs, by the condition RolloutComplete and in status.rollout.
func TestARolloutSaysHowFarItIs(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
	}
	first, second := newMachine(0).Name, newMachine(1).Name
	for what, c := range map[string]struct {
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		want     string // RolloutComplete's status and reason
		updated  int32  // below zero for unknown
		waits    string
	}{
		"all run it":            {agents: as(runs(0, "r1"), runs(1, "r1")), want: "True Complete", updated: 2},
		"one is changed":        {agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0")), pool: edits(isUpdating(0)), want: "False Rolling", waits: first + " is in Probation with revision r1"},
		"one begins":            {agents: as(runs(0, "r0"), runs(1, "r0")), want: "False Rolling", waits: first + " is given revision r1"},
		"one is gone back":      {agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0")), pool: edits(isUpdating(0)), want: "False Stopped", waits: "another template, or " + first + " to go: it went back from revision r1"},
		"the canary":            {agents: as(runs(0, "r1"), runs(1, "r0")), pool: edits(hasCanary(1, 60), rollsOut("r1", v1alpha1.RolloutPhaseSoaking, 20*time.Second)), want: "False Soaking", updated: 1, waits: "the canary of 1 soaks until 2026-01-01T01:00:40Z"},
		"paused":                {agents: as(runs(0, "r1"), runs(1, "r0")), pool: edits(isPaused), want: "False Paused", updated: 1, waits: "spec.paused is set"},
		"paused and complete":   {agents: as(runs(0, "r1"), runs(1, "r1")), pool: edits(isPaused), want: "True Complete", updated: 2},
		"the fleet is stopped":  {agents: as(runs(0, "r1"), runs(1, "r0")), edit: isStopped, want: "False FleetStopped", updated: 1, waits: "the annotation stops the fleet: a fire"},
		"no budget is left":     {agents: as(runs(0, "r1"), runs(1, "r0")), pool: edits(hasBudgets(budgetOf("0"))), want: "False Rolling", updated: 1, waits: "spec.disruption.budgets[0] allows no node to be disrupted"},
		"one is not heard of":   {agents: as(runs(0, "r1"), runs(1, "r0")), machines: ms(made(0), made(1, silent)), want: "False Rolling", updated: 1, waits: "nothing is heard of " + second + ": it gets it when it is back; delete the Machine to have it replaced"},
		"one is to be replaced": {agents: as(runs(0, "r1"), runs(1, "r0")), edit: func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }, want: "False Rolling", updated: 1, waits: "1 is to be replaced"},
		"one is lacking":        {agents: as(runs(0, "r1")), machines: ms(made(0)), want: "False Rolling", updated: 1, waits: "machines are made: 1 of 2 machines exists"},
		"one comes up":          {agents: as(runs(0, "r1"), runs(1, "r1", unstarted)), machines: ms(made(0), newMachine(1, unready)), want: "False Rolling", updated: 1, waits: second + " is given revision r1"},
		"one more is wanted":    {agents: as(runs(0, "r1")), machines: ms(made(0)), pool: edits(rollsOut("r1", v1alpha1.RolloutPhaseComplete, -1)), want: "True Complete", updated: 1},
		"nobody knows": {agents: as(runs(0, "r1"), runs(1, "r1")), edit: func(s *Snapshot) {
			s.Revision, s.Problems = "", []Problem{{Reason: v1alpha1.ReasonBundleNotFound, Message: "none"}}
		}, want: "Unknown BundleNotFound", updated: -1},
		"it is being deleted": {agents: as(runs(0, "r1"), runs(1, "r1")), pool: edits(isDeleting), want: "False Deleting", updated: -1},
		"it is taken back":    {agents: as(runs(0, "r0"), runs(1, "r1")), pool: edits(rollsBack, gaveUp("r1", "r0")), want: "False RollingBack", updated: 1, waits: second + " is given revision r0"},
		"it was taken back":   {agents: as(runs(0, "r0"), runs(1, "r0")), pool: edits(rollsBack, gaveUp("r1", "r0")), want: "False RolledBack", updated: 2, waits: "another template: " + first + " went back from revision r1"},
	} {
		t.Run(what, func(t *testing.T) {
			if c.machines == nil {
				c.machines = ms(made(0), made(1))
			}
			s := snapshot(newPool(2, 9, c.pool...), c.machines...)
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			status, _ := Report(s, result, Outcome{Updated: result.Of(Update)})
			complete := condition(status, v1alpha1.RolloutCompleteCondition)
			if got := string(complete.Status) + " " + complete.Reason; got != c.want || complete.Message == "" || complete.ObservedGeneration != s.Pool.Generation {
				t.Errorf("RolloutComplete is %s, want %s: %+v", got, c.want, complete)
			}
			if c.updated < 0 {
				return
			}
			if got := ptr.Deref(status.Rollout.Updated, -1); got != c.updated || status.Rollout.WaitingFor != c.waits {
				t.Errorf("%d run it, want %d; it waits for %q, want %q", got, c.updated, status.Rollout.WaitingFor, c.waits)
			}
			if want := complete.Status == metav1.ConditionTrue; want != (status.Rollout.WaitingFor == "") {
				t.Errorf("complete is %t, and it waits for %q", want, status.Rollout.WaitingFor)
			}
		})
	}
}
