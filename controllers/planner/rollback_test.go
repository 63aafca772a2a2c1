package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func rollsBack(p *v1alpha1.NodePool) { p.Spec.Rollout.OnFailure = v1alpha1.RolloutOnFailureRollback }

// gaveUp says that the pool's status has a revision as given up, since the first machine went back from it.
func gaveUp(revision, previous string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		if p.Status.Rollout == nil {
			p.Status.Rollout = &v1alpha1.NodePoolRolloutStatus{Revision: revision, StartedAt: metav1.NewTime(epoch)}
		}
		p.Status.Rollout.Failed = &v1alpha1.FailedRollout{
			Revision: revision, PreviousRevision: previous, Machine: newMachine(0).Name, Message: "kubelet: Exited; it said \"no\"", Time: metav1.NewTime(epoch),
		}
	}
}

func TestARolloutThatFailedIsRolledBack(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
	}
	probation := func(ordinal int64) *v1alpha1.NodeAgent {
		return runs(ordinal, "r1", given("r1", v1alpha1.PhaseProbation))
	}
	four := ms(made(0), made(1), made(2), made(3))
	elsewhere := func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }
	unknown := func(s *Snapshot) { delete(s.Contents, "r0") }
	failedFirst := as(runs(0, "r0", wentBack("r1")), runs(1, "r1"), runs(2, "r1"), runs(3, "r0"))
	const rollingBack, back, stopped = v1alpha1.RolloutPhaseRollingBack, v1alpha1.RolloutPhaseRolledBack, v1alpha1.RolloutPhaseStopped
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		to       string // the revision that machines are given
		want     []int64
		deferred []string
		failed   bool // the status says what was given up
		phase    v1alpha1.RolloutPhase
		words    string
		after    time.Duration
	}{
		"by default":                 {reason: "those that run it keep it", agents: failedFirst, pool: edits(isUpdating(0)), deferred: []string{DeferredRolledBack}, phase: stopped, words: "No other machine is given that revision (1 waits), and new ones are made from revision r0: change the template, or delete that Machine"},
		"one went back":              {reason: "it is remembered first, as nothing tells of it once that node is given something else", pool: edits(rollsBack, isUpdating(0)), agents: failedFirst, deferred: []string{DeferredRolledBack}, failed: true, phase: rollingBack, words: "those that were are given revision r0 again: change the template", after: nextBatch},
		"it is remembered":           {reason: "the node that went back is first, one at a time; the one that was never given it is left alone", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(0)), agents: failedFirst, to: "r0", want: []int64{0}, deferred: []string{DeferredRollout}, failed: true, phase: rollingBack, words: "3 machines that were given it have yet to run revision r0 again"},
		"several may be unavailable": {reason: "so several are given back what they ran", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(0), mayMiss("3")), agents: failedFirst, to: "r0", want: []int64{0, 1, 2}, failed: true, phase: rollingBack},
		"another is on probation":    {reason: "it need not fail by itself", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(0, 1), mayMiss("2")), agents: as(runs(0, "r0", wentBack("r1")), probation(1), runs(2, "r0"), runs(3, "r0")), to: "r0", want: []int64{0, 1}, failed: true, phase: rollingBack},
		"the first is over":          {reason: "the next one follows", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(0)), agents: as(runs(0, "r0"), runs(1, "r1"), runs(2, "r1"), runs(3, "r0")), to: "r0", want: []int64{1}, deferred: []string{DeferredRollout}, failed: true, phase: rollingBack, words: "2 machines that were given it have yet"},
		"all are over":               {reason: "the pool waits for another template, and does not try this one again", pool: edits(rollsBack, gaveUp("r1", "r0")), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"), runs(3, "r0")), failed: true, phase: back, words: "No machine is given it, and those that were run revision r0 again: change the template"},
		"somebody deletes the first": {reason: "what is remembered does not hang on that machine", pool: edits(rollsBack, gaveUp("r1", "r0")), machines: four[1:], agents: as(runs(1, "r0"), runs(2, "r0"), runs(3, "r0")), failed: true, phase: back},
		"it never joined":            {reason: "what has no Node is given it at once", pool: edits(rollsBack, gaveUp("r1", "r0"), isUpdating(0)), machines: ms(made(0), made(1), made(2), newMachine(3, outdated, unready)), agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0"), runs(2, "r0"), runs(3, "r1", unstarted)), to: "r0", want: []int64{0, 3}, failed: true, phase: rollingBack},
		"one is silent":              {reason: "it gets it when it is back", pool: edits(rollsBack, gaveUp("r1", "r0")), machines: ms(made(0), made(1, silent), made(2), made(3)), agents: as(runs(0, "r0"), runs(1, "r1"), runs(2, "r0"), runs(3, "r0")), failed: true, deferred: nil, phase: rollingBack},
		"with a canary":              {reason: "to go back takes none", pool: edits(rollsBack, gaveUp("r1", "r0"), hasCanary(1, 60), mayMiss("3")), agents: as(runs(0, "r0"), runs(1, "r1"), runs(2, "r1"), runs(3, "r0")), to: "r0", want: []int64{1, 2}, failed: true, phase: rollingBack},
		"Pause since":                {reason: "nobody goes on to be given back what he ran, and it is not tried again either", pool: edits(gaveUp("r1", "r0")), agents: as(runs(0, "r0"), runs(1, "r1"), runs(2, "r1"), runs(3, "r0")), deferred: []string{DeferredRolledBack}, failed: true, phase: stopped, words: "those that run it keep it: change the template"},
		"Rollback since":             {reason: "an edit counts at once: the node that went back is still there", pool: edits(rollsBack), agents: failedFirst, deferred: []string{DeferredRolledBack}, failed: true, phase: rollingBack, after: nextBatch},
		"the template is another":    {reason: "what was given up is an older one", pool: edits(rollsBack, gaveUp("r-1", "r0"), isUpdating(0)), agents: as(runs(0, "r0", wentBack("r-1")), runs(1, "r0"), runs(2, "r0"), runs(3, "r0")), to: "r1", want: []int64{0}, deferred: []string{DeferredRollout}, phase: v1alpha1.RolloutPhaseRolling},
		"other infrastructure":       {reason: "no change in place leads back there: the others are left alone", pool: edits(rollsBack, isUpdating(0)), agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r1"), runs(2, "r1"), runs(3, "r1")), machines: ms(newMachine(0, joined), newMachine(1, joined), newMachine(2, joined), newMachine(3, joined)), edit: elsewhere, phase: stopped, words: "change the template, or delete that Machine"},
		"not stored any more":        {reason: "nobody knows what it asked for", pool: edits(rollsBack, isUpdating(0)), agents: failedFirst, machines: ms(newMachine(0, joined), newMachine(1, joined), newMachine(2, joined), newMachine(3, joined)), edit: unknown, deferred: []string{DeferredRolledBack}, phase: stopped},
		"the facts failed":           {reason: "the revision is not to blame", pool: edits(rollsBack), agents: as(runs(0, "r1", wentBack("r1")), runs(1, "r1"), runs(2, "r1"), runs(3, "r1")), phase: stopped, words: "correct these facts"},
		"paused":                     {reason: "a paused pool changes nothing, and remembers", pool: edits(rollsBack, isPaused, isUpdating(0)), agents: failedFirst, deferred: []string{DeferredPaused}, failed: true, phase: rollingBack, after: nextBatch},
		"scaled up meanwhile":        {reason: "machines are made from what is good", pool: edits(rollsBack, gaveUp("r1", "r0"), wants(5)), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"), runs(3, "r0")), failed: true, phase: back},
		"scaled down meanwhile":      {reason: "those that run what failed are the first to go", pool: edits(rollsBack, gaveUp("r1", "r0"), wants(3)), agents: as(runs(0, "r0"), runs(1, "r1"), runs(2, "r0"), runs(3, "r0")), failed: true, phase: rollingBack},
	} {
		t.Run(what, func(t *testing.T) {
			if c.machines == nil {
				c.machines = four
			}
			s := snapshot(newPool(int32(len(c.machines)), 9, c.pool...), c.machines...) //nolint:gosec // a few
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v are changed, want %v", c.reason, got, c.want)
			}
			for _, a := range result.Of(Update) {
				if a.Revision != c.to {
					t.Errorf("%s: %s is given %s, want %s", c.reason, a.Name, a.Revision, c.to)
				}
			}
			for _, a := range result.Of(Create) {
				if a.Revision != "r0" {
					t.Errorf("%s: a machine is made from %s", c.reason, a.Revision)
				}
			}
			for _, a := range result.Of(Delete) {
				if a.Name != newMachine(1).Name {
					t.Errorf("%s: %s is deleted", c.reason, a.Name)
				}
			}
			var deferred []string
			for _, d := range result.Deferred {
				deferred = append(deferred, d.Reason)
			}
			if !slices.Equal(deferred, c.deferred) || soon(result) != c.after {
				t.Errorf("%s: deferred for %v, want %v; it is planned again after %s, want %s", c.reason, deferred, c.deferred, soon(result), c.after)
			}
			status, events := Report(s, result, Outcome{})
			if failed := status.Rollout.Failed; (failed != nil) != c.failed || failed != nil && (failed.Revision != "r1" || failed.PreviousRevision != "r0" || failed.Machine != newMachine(0).Name) {
				t.Errorf("%s: given up is %+v", c.reason, failed)
			}
			if status.Rollout.Phase != c.phase {
				t.Errorf("%s: the rollout is in %s, want %s", c.reason, status.Rollout.Phase, c.phase)
			}
			because, message := messageOf(status, v1alpha1.StalledCondition)
			if !strings.Contains(message, c.words) || c.words != "" && because != v1alpha1.ReasonRolledBack {
				t.Errorf("%s: the pool says %s: %q, want %q", c.reason, because, message, c.words)
			}
			s.Pool = s.Pool.DeepCopy()
			s.Pool.Status = status
			for _, e := range second(Report(s, Plan(s), Outcome{})) {
				if e.Type == corev1.EventTypeWarning {
					t.Errorf("%s: it is told again: %+v (before: %+v)", c.reason, e, events)
				}
			}
		})
	}
}

func second(_ v1alpha1.NodePoolStatus, events []Event) []Event { return events }

// TestWhatFailedIsSaidWithItsLastWords, also when the node that failed runs something else since.
func TestWhatFailedIsSaidWithItsLastWords(t *testing.T) {
	s := snapshot(newPool(2, 9, rollsBack, isUpdating(0)), newMachine(0, outdated), newMachine(1, outdated))
	hasAgents(runs(0, "r0", wentBack("r1")), runs(1, "r0"))(&s)
	status, _ := Report(s, Plan(s), Outcome{})
	s.Pool = s.Pool.DeepCopy()
	s.Pool.Status = status
	s.Pool.Status.Updating = nil
	hasAgents(runs(0, "r0"), runs(1, "r0"))(&s)
	status, _ = Report(s, Plan(s), Outcome{})
	_, message := messageOf(status, v1alpha1.StalledCondition)
	for _, words := range []string{newMachine(0).Name, "from revision r1 to r0", "kubelet: Exited: kubelet ended 3 times", "invalid Node Allocatable configuration"} {
		if !strings.Contains(message, words) {
			t.Errorf("%q does not say %q", message, words)
		}
	}
	if ready := status.Conditions; len(ready) == 0 || ready[0].Status == metav1.ConditionTrue {
		t.Errorf("a pool that does not run its template is no complete one: %+v", ready)
	}
}

// TestANodeIsToldWhyItGoesBack in the event of its change.
func TestANodeIsToldWhyItGoesBack(t *testing.T) {
	s := snapshot(newPool(1, 9, rollsBack, gaveUp("r1", "r0")), newMachine(1, outdated, joined))
	hasAgents(runs(1, "r1"))(&s)
	update := Plan(s).Of(Update)
	if len(update) != 1 || update[0].Revision != "r0" || update[0].Reason != newMachine(0).Name+" went back from revision r1, which is given up" {
		t.Errorf("got %+v", update)
	}
}

func TestWhatIsGivenBackIsKept(t *testing.T) {
	s := snapshot(newPool(1, 9, rollsBack, gaveUp("r1", "r-2")), newMachine(0))
	hasAgents(runs(0, "r1"))(&s)
	s.Pool.Spec.Rollout.RevisionHistoryLimit = ptr.To[int32](0)
	s.StoredRevisions = []string{"r-3", "r-2", "r1"}
	if got := Plan(s).PruneRevisions; !slices.Equal(got, []string{"r-3"}) {
		t.Errorf("pruned %v, want r-3", got)
	}
}
