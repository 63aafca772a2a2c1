package planner

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// digestOf is that of the agent's image of a version, for an architecture.
func digestOf(version, architecture string) string {
	return "sha256:" + strings.Repeat("0", 64-len(version)-len(architecture)) + version + architecture
}

func agentRelease(version string) *v1alpha1.AgentRelease {
	release := &v1alpha1.AgentRelease{Version: version}
	for _, architecture := range []string{"amd64", "arm64"} {
		release.Artifacts = append(release.Artifacts, v1alpha1.Artifact{Architecture: architecture, Image: "r.example/agent@" + digestOf(version, architecture)})
	}
	return release
}

// namesAgents has revisions name an agent: r1 the version "b", and r0 "a" or, with bare, none.
func namesAgents(bare bool) func(*Snapshot) {
	return func(s *Snapshot) {
		s.Contents["r1"].Spec.Agent = agentRelease("b")
		if !bare {
			s.Contents["r0"].Spec.Agent = agentRelease("a")
		}
	}
}

// hasProgram says which version of the agent proved itself last on a node of the second architecture.
func hasProgram(version string) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) {
		if a.Status.Agent == nil {
			a.Status.Agent = &v1alpha1.AgentProgram{}
		}
		a.Status.Agent.Digest = digestOf(version, "arm64")
	}
}

func gaveUpAgent(version string) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) {
		if a.Status.Agent == nil {
			a.Status.Agent = &v1alpha1.AgentProgram{}
		}
		a.Status.Agent.Failed = &v1alpha1.FailedAgent{
			Version: version, Digest: digestOf(version, "arm64"), Reason: v1alpha1.ReasonExited, Message: "it ended 3 times in a row without having proved itself", Time: metav1.NewTime(epoch),
		}
	}
}

func ranBefore(revision string) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) { a.Status.PreviousRevision = revision }
}

func cannotGetIt(a *v1alpha1.NodeAgent) {
	a.Status.Findings = []v1alpha1.Finding{{Name: v1alpha1.FindingAgentUpdate, Severity: v1alpha1.FindingWarning, Message: "the agent b is not there yet, and the one that runs goes on: spec.agent has no image for arm64"}}
}

// completedBefore says what all machines ran last.
func completedBefore(revision string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Status.Rollout = &v1alpha1.NodePoolRolloutStatus{Revision: "r1", CompletedRevision: revision}
	}
}

// TestAnAgentRollsWithItsRevision in the order, and within the limits, of any change of the template.
func TestAnAgentRollsWithItsRevision(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
	}
	had := func(ordinal int64) *v1alpha1.NodeAgent { return runs(ordinal, "r0", hasProgram("a")) }
	has := func(ordinal int64) *v1alpha1.NodeAgent {
		return runs(ordinal, "r1", hasProgram("b"), ranBefore("r0"))
	}
	// changes runs the rest of r1, and has yet to change to its agent.
	changes := func(ordinal int64, edits ...func(*v1alpha1.NodeAgent)) *v1alpha1.NodeAgent {
		return runs(ordinal, "r1", append([]func(*v1alpha1.NodeAgent){hasProgram("a"), ranBefore("r0")}, edits...)...)
	}
	failed := changes(0, gaveUpAgent("b"))
	three := ms(made(0), made(1), made(2))
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		bare     bool // r0 names no agent
		want     []int64
		to       string
		made     string // the revision that a machine is made from
		deferred string
		phase    v1alpha1.RolloutPhase
		updated  int32
		stalled  string
		says     string
	}{
		"it is another one":             {reason: "the first node is given it", agents: as(had(0), had(1), had(2)), want: []int64{0}, to: "r1", deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling},
		"it arrives":                    {reason: "the next one follows", pool: edits(isUpdating(0)), agents: as(has(0), had(1), had(2)), want: []int64{1}, to: "r1", deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling, updated: 1},
		"it arrived everywhere":         {reason: "the rollout is complete", agents: as(has(0), has(1), has(2)), phase: v1alpha1.RolloutPhaseComplete, updated: 3},
		"it is on its way":              {reason: "the rest of the revision alone is not the revision", pool: edits(isUpdating(0)), agents: as(changes(0), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling, says: "runs revision r1, and has yet to change to agent b"},
		"it is on its way, status lost": {reason: "the node itself tells", agents: as(changes(0), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling, says: "has yet to change to agent b"},
		"it cannot be had":              {reason: "what keeps it is said as long as it lasts", pool: edits(isUpdating(0)), agents: as(changes(0, cannotGetIt), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling, says: "has yet to change to agent b: the agent b is not there yet, and the one that runs goes on: spec.agent has no image for arm64"},
		"it says nothing of any":        {reason: "an agent that its machine was set up with has no digest", pool: edits(isUpdating(0)), agents: as(runs(0, "r1"), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling, says: "has yet to change to agent b"},
		"two may be unavailable":        {reason: "as many at a time", pool: edits(isUpdating(0), mayMiss("2")), agents: as(changes(0), had(1), had(2)), want: []int64{1}, to: "r1", deferred: DeferredMaxUnavailable, phase: v1alpha1.RolloutPhaseRolling},
		"it has not heard of it":        {reason: "what it gave up once is no answer to what it was told since", pool: edits(isUpdating(0)), agents: as(changes(0, gaveUpAgent("b"), unheard), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling},
		"it gave up another":            {reason: "what failed before is another matter", pool: edits(isUpdating(0)), agents: as(changes(0, gaveUpAgent("c")), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling},
		"it is silent":                  {reason: "it may change to it at any time", machines: ms(made(0, silent), made(1), made(2)), pool: edits(isUpdating(0)), agents: as(changes(0), had(1), had(2)), deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling, says: "nothing is heard of it"},
		"the canary changes":            {reason: "the others wait for it", pool: edits(isUpdating(0), hasCanary(1, 60), mayMiss("3")), agents: as(changes(0), had(1), had(2)), deferred: DeferredCanary, phase: v1alpha1.RolloutPhaseCanary},
		"one comes up":                  {reason: "a new machine joins with its provider's agent, which is nobody's change", machines: ms(newMachine(0, joined), made(1), made(2)), agents: as(runs(0, "r1", ranBefore("")), had(1), had(2)), want: []int64{1}, to: "r1", deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling},
		"the template is another":       {reason: "the node that waits for an agent in vain is first given the next", pool: edits(isUpdating(1)), agents: as(had(0), runs(1, "r-1", hasProgram("a"), ranBefore("r0")), had(2)), edit: func(s *Snapshot) { s.Contents["r-1"].Spec.Agent = agentRelease("c") }, want: []int64{1}, to: "r1", deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling},

		"it fails":                     {reason: "nobody else is given it, and the node stays as it is", pool: edits(isUpdating(0)), agents: as(failed, had(1), had(2)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "went back from the agent of revision r1 to the one before it: agent b: Exited: it ended 3 times in a row without having proved itself. No other machine is given that revision (2 wait), and new ones are made from revision r0: change the template, or delete that Machine"},
		"it fails on the canary":       {reason: "the rollout stops there", pool: edits(isUpdating(0), hasCanary(1, 60), mayMiss("3")), agents: as(failed, had(1), had(2)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "agent b: Exited"},
		"it fails, and one is lacking": {reason: "that is made from what the node ran before", pool: edits(isUpdating(0), wants(4)), agents: as(failed, had(1), had(2)), made: "r0", deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "and new ones are made from revision r0"},
		"the next template names it":   {reason: "it is not tried again", pool: edits(isUpdating(0)), agents: as(failed, had(1), had(2)), edit: func(s *Snapshot) { s.Contents["r-1"].Spec.Agent = agentRelease("b"); s.Revision = "r-1" }, want: []int64{0}, to: "r-1", deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRolling},
		"what it ran names it as well": {reason: "it never ran all of that", pool: edits(isUpdating(0), wants(4), completedBefore("r-1")), agents: as(failed, had(1), had(2)), edit: func(s *Snapshot) { s.Contents["r0"].Spec.Agent = agentRelease("b") }, made: "r-1", deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "and new ones are made from revision r-1"},
		"and so did all":               {reason: "there is nothing to make others from", pool: edits(isUpdating(0), wants(4), completedBefore("r0")), agents: as(failed, had(1), had(2)), edit: func(s *Snapshot) { s.Contents["r0"].Spec.Agent = agentRelease("b") }, deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "agent b: Exited"},
		"a first machine fails by it":  {reason: "there is nothing to make others from", machines: ms(newMachine(0, joined), made(1)), pool: edits(wants(3)), agents: as(runs(0, "r1", ranBefore(""), gaveUpAgent("b")), had(1)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "agent b: Exited"},

		"it fails, with Rollback":       {reason: "it is remembered first", pool: edits(rollsBack, isUpdating(0)), agents: as(failed, has(1), had(2)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseRollingBack, updated: 1, stalled: "went back from revision r1 to r0: agent b: Exited: it ended 3 times in a row"},
		"it is remembered":              {reason: "those that were given it are given what they ran", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(0)), agents: as(failed, has(1), had(2)), want: []int64{0}, to: "r0", deferred: DeferredRollout, phase: v1alpha1.RolloutPhaseRollingBack, updated: 1, stalled: "2 machines that were given it have yet to run revision r0 again"},
		"one has its agent still":       {reason: "it runs the rest of what it ran, and has yet to change back", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(1)), agents: as(had(0), runs(1, "r0", hasProgram("b")), had(2)), phase: v1alpha1.RolloutPhaseRollingBack, stalled: "1 machine that was given it has yet to run revision r0 again"},
		"what it ran names none":        {reason: "then whatever agent is there is as good as any", bare: true, pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(1)), agents: as(had(0), runs(1, "r0", hasProgram("b")), had(2)), phase: v1alpha1.RolloutPhaseRolledBack, stalled: "those that were run revision r0 again"},
		"the settings fail, not it":     {reason: "the agent that it has meanwhile does not count", pool: edits(isUpdating(0)), agents: as(runs(0, "r0", wentBack("r1"), hasProgram("b")), had(1), had(2)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "went back from revision r1 to r0: kubelet: Exited"},
		"both fail":                     {reason: "the component is named", pool: edits(isUpdating(0)), agents: as(runs(0, "r0", wentBack("r1"), hasProgram("a"), gaveUpAgent("b")), had(1), had(2)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "went back from revision r1 to r0: kubelet: Exited"},
		"it fails before the rest runs": {reason: "the rest waits for a bundle, and the agent did not", pool: edits(isUpdating(0)), agents: as(runs(0, "r0", given("r1", v1alpha1.PhaseStaging), hasProgram("a"), gaveUpAgent("b")), had(1), had(2)), deferred: DeferredRolledBack, phase: v1alpha1.RolloutPhaseStopped, stalled: "and new ones are made from revision r0"},
	} {
		t.Run(what, func(t *testing.T) {
			if c.machines == nil {
				c.machines = three
			}
			s := snapshot(newPool(int32(len(c.machines)), 9, c.pool...), c.machines...) //nolint:gosec // a few
			hasAgents(c.agents...)(&s)
			namesAgents(c.bare)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v are changed, want %v", c.reason, got, c.want)
			}
			for _, a := range result.Of(Update) {
				if a.Revision != c.to || a.Class != disruption.Restart {
					t.Errorf("%s: %s is given %s (%s), want %s", c.reason, a.Name, a.Revision, a.Class, c.to)
				}
			}
			made := ""
			for _, a := range result.Of(Create) {
				made = a.Revision
			}
			if made != c.made {
				t.Errorf("%s: a machine is made from %q, want %q", c.reason, made, c.made)
			}
			deferred := ""
			for _, d := range result.Deferred {
				if deferred == "" {
					deferred = d.Reason
				}
			}
			if deferred != c.deferred {
				t.Errorf("%s: deferred for %q, want %q", c.reason, deferred, c.deferred)
			}
			status, _ := Report(s, result, Outcome{})
			if status.Rollout.Phase != c.phase || *status.UpdatedReplicas != c.updated {
				t.Errorf("%s: the rollout is in %s with %d updated, want %s with %d", c.reason, status.Rollout.Phase, *status.UpdatedReplicas, c.phase, c.updated)
			}
			because, message := messageOf(status, v1alpha1.StalledCondition)
			if !strings.Contains(message, c.stalled) || (because == v1alpha1.ReasonRolledBack) != (c.stalled != "") {
				t.Errorf("%s: the pool is stalled by %s: %q, want %q", c.reason, because, message, c.stalled)
			}
			if _, message := messageOf(status, v1alpha1.ReconcilingCondition); !strings.Contains(message, c.says) {
				t.Errorf("%s: the pool says %q, want %q", c.reason, message, c.says)
			}
		})
	}
}

// TestWhyANodeHasAnotherAgentIsTold by who is asked why a machine is as it is.
func TestWhyANodeHasAnotherAgentIsTold(t *testing.T) {
	s := snapshot(newPool(2, 9), newMachine(0, outdated, joined), newMachine(1, outdated, joined))
	hasAgents(runs(0, "r1", hasProgram("a"), gaveUpAgent("b"), ranBefore("r0")), runs(1, "r1", hasProgram("a"), cannotGetIt))(&s)
	namesAgents(false)(&s)
	var told []string
	for _, m := range Explain(s).Machines {
		told = append(told, m.State)
	}
	want := []string{
		"went back from the agent of revision r1 to the one before it: agent b: Exited: it ended 3 times in a row without having proved itself",
		"runs revision r1, and has yet to change to agent b: the agent b is not there yet, and the one that runs goes on: spec.agent has no image for arm64",
	}
	if !slices.Equal(told, want) {
		t.Errorf("it is told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// TestWhatIsSaidOfAnAgentIsLookedAt as soon as it is said.
func TestWhatIsSaidOfAnAgentIsLookedAt(t *testing.T) {
	for what, a := range map[string]*v1alpha1.NodeAgent{"it runs": runs(0, "r1", hasProgram("b")), "it was given up": runs(0, "r1", gaveUpAgent("b"))} {
		if progress := Progress(a); progress.Agent == nil || *progress.Agent != *a.Status.Agent {
			t.Errorf("%s: nobody looks at the pool for it: %+v", what, progress)
		}
	}
}
