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

func hasCanary(replicas, soakSeconds int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Rollout.Canary = &v1alpha1.RolloutCanary{Replicas: &replicas, SoakSeconds: &soakSeconds}
	}
}

// rollsOut says that the pool's status has a rollout in a phase, whose canary proved itself so long ago; never, when below zero.
func rollsOut(revision string, phase v1alpha1.RolloutPhase, proved time.Duration) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Status.Rollout = &v1alpha1.NodePoolRolloutStatus{Revision: revision, Phase: phase, StartedAt: metav1.NewTime(epoch), Canary: &v1alpha1.RolloutCanaryStatus{Replicas: ptr.To[int32](1)}}
		if proved >= 0 {
			p.Status.Rollout.Canary.ProvedAt = metav1.NewTime(epoch.Add(time.Hour - proved))
		}
	}
}

func completed(revision string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Status.Rollout.CompletedRevision = revision }
}

func TestACanaryGoesFirst(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
	}
	probation := func(ordinal int64, revision string) *v1alpha1.NodeAgent {
		return runs(ordinal, revision, given(revision, v1alpha1.PhaseProbation))
	}
	four := ms(made(0), made(1), made(2), made(3))
	agents := func(first ...*v1alpha1.NodeAgent) []*v1alpha1.NodeAgent {
		for i := int64(len(first)); i < 4; i++ {
			first = append(first, runs(i, "r0"))
		}
		return first
	}
	const canaryPhase, soaking, rolling = v1alpha1.RolloutPhaseCanary, v1alpha1.RolloutPhaseSoaking, v1alpha1.RolloutPhaseRolling
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		want     []int64
		deferred []string // the reasons
		phase    v1alpha1.RolloutPhase
		words    string
		after    time.Duration
	}{
		"it begins":                      {reason: "it is one, however many may be unavailable", pool: edits(hasCanary(1, 60)), agents: agents(), want: []int64{0}, deferred: []string{DeferredCanary}, phase: canaryPhase, words: "0 of 4 machines run revision r1; 0 are well of 1 in the canary; " + newMachine(0).Name + " is given revision r1"},
		"it has begun":                   {reason: "the others wait", pool: edits(hasCanary(1, 60), isUpdating(0), rollsOut("r1", canaryPhase, -1)), agents: agents(probation(0, "r1")), deferred: []string{DeferredCanary}, phase: canaryPhase, words: "is in Probation"},
		"it proved itself, without soak": {reason: "the others follow at once, as many as may", pool: edits(hasCanary(1, 0), rollsOut("r1", canaryPhase, -1)), agents: agents(runs(0, "r1")), want: []int64{1, 2}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
		"it has just proved itself":      {reason: "it has to stay well, and the plan is made again when it has", pool: edits(hasCanary(1, 60), rollsOut("r1", canaryPhase, -1)), agents: agents(runs(0, "r1")), deferred: []string{DeferredCanary}, phase: soaking, words: "1 of 4 machines runs revision r1; the canary of 1 soaks until 2026-01-01T01:01:00Z", after: time.Minute},
		"it soaks":                       {reason: "since when is in the status", pool: edits(hasCanary(1, 60), rollsOut("r1", soaking, 20*time.Second)), agents: agents(runs(0, "r1")), deferred: []string{DeferredCanary}, phase: soaking, words: "until 2026-01-01T01:00:40Z", after: 40 * time.Second},
		"it has soaked":                  {reason: "the others follow", pool: edits(hasCanary(1, 60), rollsOut("r1", soaking, time.Minute)), agents: agents(runs(0, "r1")), want: []int64{1, 2}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
		"it fell ill":                    {reason: "it did not stay well: the time begins anew when it is", pool: edits(hasCanary(1, 60), rollsOut("r1", soaking, 59*time.Second)), machines: ms(made(0, unready), made(1), made(2), made(3)), agents: agents(runs(0, "r1")), deferred: []string{DeferredCanary}, phase: canaryPhase},
		"it fell ill later":              {reason: "the others were let go on: it counts as unavailable, as any does", pool: edits(hasCanary(1, 60), rollsOut("r1", rolling, time.Hour)), machines: ms(made(0, unready), made(1), made(2), made(3)), agents: agents(runs(0, "r1")), want: []int64{1}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
		"it went back":                   {reason: "the others are not given it at all", pool: edits(hasCanary(1, 60), isUpdating(0), rollsOut("r1", canaryPhase, -1)), agents: agents(runs(0, "r0", wentBack("r1"))), deferred: []string{DeferredRolledBack}, phase: v1alpha1.RolloutPhaseStopped},
		"two":                            {reason: "both begin at once, where two may be unavailable", pool: edits(hasCanary(2, 60)), agents: agents(), want: []int64{0, 1}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"two, one after the other":       {reason: "no more begin than may be unavailable", pool: edits(hasCanary(2, 60), mayMiss("1")), agents: agents(), want: []int64{0}, deferred: []string{DeferredRollout}, phase: canaryPhase},
		"one of two proved itself":       {reason: "the other one is the canary's too", pool: edits(hasCanary(2, 60), mayMiss("1")), agents: agents(runs(0, "r1")), want: []int64{1}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"larger than the pool":           {reason: "the whole pool is the canary, and says so", pool: edits(hasCanary(9, 60)), agents: agents(), want: []int64{0, 1}, deferred: []string{DeferredMaxUnavailable}, phase: canaryPhase, words: "the pool has no more than 4, so all of it is the canary, of which spec.rollout.canary asks for 9"},
		"a broken node":                  {reason: "it is the canary: nobody misses it", pool: edits(hasCanary(1, 0)), machines: ms(made(0), made(1), made(2, unready), made(3)), agents: agents(), want: []int64{2}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"never joined":                   {reason: "machines without a Node are free, and prove nothing", pool: edits(hasCanary(1, 0)), machines: ms(made(0), made(1), made(2), newMachine(3, outdated, unready)), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"), runs(3, "r0", unstarted)), want: []int64{3, 0}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"it has to stay ready":           {reason: "minReadySeconds come before soakSeconds", pool: edits(hasCanary(1, 60), hasToStayReady(30), isReady(0, 20*time.Second), isUpdating(0)), agents: agents(runs(0, "r1")), deferred: []string{DeferredCanary}, phase: canaryPhase, after: 10 * time.Second},
		"edited while it changes":        {reason: "the one under way turns to the newest, and is the canary of that", pool: edits(hasCanary(1, 60), isUpdating(0), rollsOut("r0", canaryPhase, -1)), agents: as(probation(0, "r0"), runs(1, "r-1"), runs(2, "r-1"), runs(3, "r-1")), want: []int64{0}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"edited in the midst":            {reason: "what proved an older template proves nothing", pool: edits(hasCanary(1, 60), rollsOut("r0", rolling, time.Hour)), agents: agents(), want: []int64{0}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"taken back in the midst":        {reason: "as many as the canary has run it already: the others follow at once", pool: edits(hasCanary(2, 60), rollsOut("r0", rolling, time.Hour)), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r1"), runs(3, "r1")), want: []int64{0, 1}, phase: rolling},
		"taken back to what all ran":     {reason: "no canary is asked for, though only one still runs it", pool: edits(hasCanary(2, 60), rollsOut("r0", rolling, time.Hour), completed("r1")), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"), runs(3, "r1")), want: []int64{0, 1}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
		"asked for in the midst":         {reason: "those whose change has begun go on; no other begins", pool: edits(hasCanary(1, 60), isUpdating(0, 1), rollsOut("r1", canaryPhase, -1)), agents: agents(), want: []int64{0, 1}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"asked for when others go on":    {reason: "the others were let go on", pool: edits(hasCanary(2, 60), rollsOut("r1", rolling, -1)), agents: agents(runs(0, "r1")), want: []int64{1, 2}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
		"its Machine is deleted":         {reason: "another one takes its place; the one that goes counts as unavailable", pool: edits(hasCanary(1, 60), wants(3), rollsOut("r1", soaking, 20*time.Second)), machines: ms(made(0, leaving), made(1), made(2), made(3)), agents: agents(runs(0, "r1")), want: []int64{1}, deferred: []string{DeferredCanary}, phase: canaryPhase},
		"scaled up meanwhile":            {reason: "a machine that was made from the template is as good a canary", pool: edits(hasCanary(1, 0), rollsOut("r1", canaryPhase, -1)), machines: ms(made(0), made(1), made(2), newMachine(3, joined)), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"), runs(3, "r1")), want: []int64{0, 1}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
		"scaled down meanwhile":          {reason: "the canary is no larger than the pool is to be", pool: edits(hasCanary(3, 0), wants(2), rollsOut("r1", canaryPhase, -1)), agents: agents(runs(0, "r1")), want: []int64{}, deferred: []string{DeferredMaxUnavailable}, phase: canaryPhase},
		"its status was lost":            {reason: "nobody knows for how long it was well: the time begins anew", pool: edits(hasCanary(1, 60)), agents: agents(runs(0, "r1")), deferred: []string{DeferredCanary}, phase: soaking, after: time.Minute},
		"paused":                         {reason: "a paused pool changes nothing", pool: edits(hasCanary(1, 60), isPaused), agents: agents(), deferred: []string{DeferredPaused}, phase: canaryPhase},
		"no canary":                      {reason: "what is not asked for holds nobody", agents: agents(), want: []int64{0, 1}, deferred: []string{DeferredMaxUnavailable}, phase: rolling},
	} {
		t.Run(what, func(t *testing.T) {
			if c.machines == nil {
				c.machines = four
			}
			s := snapshot(newPool(4, 9, append([]func(*v1alpha1.NodePool){mayMiss("2")}, c.pool...)...), c.machines...)
			hasAgents(c.agents...)(&s)
			result := Plan(s)
			if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v are given the target, want %v", c.reason, got, c.want)
			}
			var deferred []string
			for _, d := range result.Deferred {
				deferred = append(deferred, d.Reason)
				if d.Message == "" {
					t.Errorf("%s: nothing says what it waits for: %+v", c.reason, d)
				}
			}
			if !slices.Equal(deferred, c.deferred) || soon(result) != c.after {
				t.Errorf("%s: deferred for %v, want %v; it is planned again after %s, want %s", c.reason, deferred, c.deferred, soon(result), c.after)
			}
			status, _ := Report(s, result, Outcome{Updated: result.Of(Update)})
			if status.Rollout.Phase != c.phase || status.Rollout.Revision != "r1" {
				t.Errorf("%s: the rollout is in %s, want %s: %+v", c.reason, status.Rollout.Phase, c.phase, status.Rollout)
			}
			if _, message := messageOf(status, v1alpha1.ReconcilingCondition); !strings.Contains(message, c.words) {
				t.Errorf("%s: %q does not say %q", c.reason, message, c.words)
			}
		})
	}
}

func TestARolloutIsComplete(t *testing.T) {
	for what, c := range map[string]struct {
		reason    string
		pool      []func(*v1alpha1.NodePool)
		agents    []*v1alpha1.NodeAgent
		phase     v1alpha1.RolloutPhase
		completed string
		started   time.Time
	}{
		"a new pool comes up":      {reason: "nothing has proved itself yet", agents: as(runs(0, "r1"), runs(1, "r1", unstarted)), phase: v1alpha1.RolloutPhaseRolling, started: epoch.Add(time.Hour)},
		"all run it":               {reason: "that is what complete means", agents: as(runs(0, "r1"), runs(1, "r1")), phase: v1alpha1.RolloutPhaseComplete, completed: "r1", started: epoch.Add(time.Hour)},
		"it was complete":          {reason: "a machine that is made since is no rollout", pool: edits(rollsOut("r1", v1alpha1.RolloutPhaseComplete, -1), completed("r1")), agents: as(runs(0, "r1"), runs(1, "r1", unstarted)), phase: v1alpha1.RolloutPhaseComplete, completed: "r1", started: epoch},
		"the template changed":     {reason: "another rollout begins, and what all ran is remembered", pool: edits(rollsOut("r0", v1alpha1.RolloutPhaseComplete, -1), completed("r0")), agents: as(runs(0, "r0"), runs(1, "r0")), phase: v1alpha1.RolloutPhaseRolling, completed: "r0", started: epoch.Add(time.Hour)},
		"one of two":               {reason: "it goes on since it began", pool: edits(rollsOut("r1", v1alpha1.RolloutPhaseRolling, -1), completed("r0")), agents: as(runs(0, "r1"), runs(1, "r0")), phase: v1alpha1.RolloutPhaseRolling, completed: "r0", started: epoch},
		"the pool is to be larger": {reason: "machines that are not there run nothing", pool: edits(wants(3)), agents: as(runs(0, "r1"), runs(1, "r1")), phase: v1alpha1.RolloutPhaseRolling, started: epoch.Add(time.Hour)},
	} {
		t.Run(what, func(t *testing.T) {
			s := snapshot(newPool(2, 9, c.pool...), newMachine(0), newMachine(1))
			hasAgents(c.agents...)(&s)
			status, _ := Report(s, Plan(s), Outcome{})
			got := status.Rollout
			if got.Phase != c.phase || got.CompletedRevision != c.completed || !got.StartedAt.Time.Equal(c.started) {
				t.Errorf("%s: got %s, %q, since %s; want %s, %q, %s", c.reason, got.Phase, got.CompletedRevision, got.StartedAt, c.phase, c.completed, c.started)
			}
		})
	}
}

// TestWhatARolloutSaidStays while its target is not known, and while the pool is being deleted.
func TestWhatARolloutSaidStays(t *testing.T) {
	for _, edit := range []func(*Snapshot){func(s *Snapshot) { s.Revision = "" }, func(s *Snapshot) { isDeleting(s.Pool) }} {
		s := snapshot(newPool(1, 9, rollsOut("r1", v1alpha1.RolloutPhaseSoaking, time.Minute), completed("r0")), newMachine(0))
		hasAgents(runs(0, "r0"))(&s)
		edit(&s)
		status, _ := Report(s, Plan(s), Outcome{})
		if got := status.Rollout; got == nil || got.Phase != v1alpha1.RolloutPhaseSoaking || got.CompletedRevision != "r0" {
			t.Errorf("it says %+v", got)
		}
	}
}

func TestTheRevisionThatAllRanIsKept(t *testing.T) {
	s := snapshot(newPool(1, 9, rollsOut("r1", v1alpha1.RolloutPhaseRolling, -1), completed("r-3")), newMachine(0))
	hasAgents(runs(0, "r1"))(&s)
	s.Pool.Spec.Rollout.RevisionHistoryLimit = ptr.To[int32](0)
	s.StoredRevisions = []string{"r-4", "r-3", "r0", "r1"}
	if got := Plan(s).PruneRevisions; !slices.Equal(got, []string{"r-4", "r0"}) {
		t.Errorf("pruned %v, want r-4 and r0: somebody may go back to r-3", got)
	}
}
