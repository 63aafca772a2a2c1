package planner

import (
	"regexp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestCountsAreGrammatical(t *testing.T) {
	for _, c := range []struct {
		n, all int
		want   string
	}{
		{0, 0, "0 of 0 machines are ready"},
		{0, 1, "0 of 1 machine is ready"},
		{1, 1, "1 of 1 machine is ready"},
		{2, 1, "2 of 1 machines are ready"}, // while a pool shrinks
		{0, 2, "0 of 2 machines are ready"},
		{1, 2, "1 of 2 machines is ready"},
		{2, 2, "2 of 2 machines are ready"},
		{11, 21, "11 of 21 machines are ready"},
	} {
		if got := machinesOf(c.n, c.all, "is ready", "are ready"); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	for n, want := range []string{"0 wait", "1 waits", "2 wait"} {
		if got := counted(n, "waits", "wait"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// ungrammatical is one thing with a verb or a noun for several.
var ungrammatical = regexp.MustCompile(`\b1 (?:wait|run|exist|are|were|do|machines|Nodes)\b|\b1 of \d+ machines (?:are|were|run)\b|\b1 of 1 machines\b`)

// TestWhatIsSaidOfOneMachineIsGrammatical, in whatever state it is.
func TestWhatIsSaidOfOneMachineIsGrammatical(t *testing.T) {
	elsewhere := func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }
	for name, c := range map[string]struct {
		replicas int32
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		outcome  Outcome
	}{
		"complete":         {replicas: 1, agents: as(runs(0, "r1"))},
		"scaling up":       {replicas: 2, agents: as(runs(0, "r1"))},
		"not made":         {replicas: 2, agents: as(runs(0, "r1")), outcome: Outcome{Failures: []Failure{{Name: "m", Message: "quota"}}}},
		"refused before":   {replicas: 2, agents: as(runs(0, "r1")), edit: func(s *Snapshot) { s.Refused = &Refusal{Name: "m", Message: "quota", Until: epoch.Add(2 * time.Hour)} }},
		"paused":           {replicas: 1, agents: as(runs(0, "r0")), edit: func(s *Snapshot) { isPaused(s.Pool) }},
		"changing":         {replicas: 2, agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0"))},
		"one runs it":      {replicas: 2, agents: as(runs(0, "r1"), runs(1, "r0"))},
		"one waits":        {replicas: 2, agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0"))},
		"one waits to be":  {replicas: 3, agents: as(runs(0, "r0", func(a *v1alpha1.NodeAgent) { wentBack("r1")(a); a.Status.Phase = v1alpha1.PhaseStaging }), runs(1, "r1")), edit: elsewhere},
		"to be replaced":   {replicas: 1, agents: as(runs(0, "r0")), edit: elsewhere},
		"a name is taken":  {replicas: 2, agents: as(runs(0, "r1")), edit: func(s *Snapshot) { s.Nodes = map[string]*corev1.Node{newMachine(9).Name: {}} }},
		"one is too many":  {replicas: 0, agents: as(runs(0, "r1"))},
		"one is to be let": {replicas: 0, agents: as(runs(0, "r1")), edit: func(s *Snapshot) { isDeleting(s.Pool) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(newPool(c.replicas, 9))
			for i := range int64(len(c.agents)) {
				s.Machines = append(s.Machines, newMachine(i, outdated))
			}
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			plan := Plan(s)
			if len(c.outcome.Failures) == 0 {
				c.outcome = Outcome{Created: plan.Of(Create), Deleted: plan.Of(Delete), Updated: plan.Of(Update)}
			}
			for _, outcome := range []Outcome{{}, c.outcome} {
				status, events := Report(s, plan, outcome)
				for _, condition := range status.Conditions {
					if words := ungrammatical.FindString(condition.Message); words != "" {
						t.Errorf("%s says %q: %s", condition.Type, words, condition.Message)
					}
				}
				for _, event := range events {
					if words := ungrammatical.FindString(event.Note); words != "" {
						t.Errorf("event %s says %q: %s", event.Reason, words, event.Note)
					}
				}
			}
		})
	}
}
