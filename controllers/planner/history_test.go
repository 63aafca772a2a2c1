package planner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func keepsRevisions(limit int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Rollout.RevisionHistoryLimit = &limit }
}

func TestTheNewestOfUnusedRevisionsAreKept(t *testing.T) {
	for what, c := range map[string]struct {
		pool   []func(*v1alpha1.NodePool)
		stored []string
		want   []string
	}{
		"room for all":              {stored: []string{"a", "b", "r0", "r1"}},
		"room for one":              {pool: edits(keepsRevisions(1)), stored: []string{"a", "b", "c", "r0", "r1"}, want: []string{"a", "b"}},
		"used ones take no room":    {pool: edits(keepsRevisions(1)), stored: []string{"a", "r0", "r-1", "r1"}},
		"what all ran is used":      {pool: edits(keepsRevisions(1), rollsOut("r1", v1alpha1.RolloutPhaseRolling, -1), completed("a")), stored: []string{"a", "b", "c", "r1"}, want: []string{"b"}},
		"what is gone back to, too": {pool: edits(keepsRevisions(1), rollsBack, gaveUp("r1", "a")), stored: []string{"a", "b", "c", "r1"}, want: []string{"b"}},
		"a paused pool":             {pool: edits(keepsRevisions(1), isPaused), stored: []string{"a", "b", "c", "r0", "r1"}},
	} {
		t.Run(what, func(t *testing.T) {
			s := snapshot(newPool(1, 9, c.pool...), newMachine(0, outdated, joined))
			hasAgents(runs(0, "r0"))(&s)
			s.StoredRevisions = c.stored
			if got := Plan(s).PruneRevisions; !slices.Equal(got, c.want) {
				t.Errorf("%v are pruned, want %v", got, c.want)
			}
		})
	}
}

// TestAHistoryIsBounded, whatever the edits: of thousands no more are kept than the limit and those that are used, and of these none
// is lost, least of all what a rollback would go back to.
func TestAHistoryIsBounded(t *testing.T) {
	const machines, limit, edits = 3, 4, 4000
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // for the same edits each time
	s := snapshot(newPool(machines, 9, keepsRevisions(limit), rollsBack), newMachine(0, joined), newMachine(1, joined), newMachine(2, joined))
	hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))(&s)
	s.StoredRevisions = []string{"r1"}
	most := 0
	for edit := range edits {
		s.Pool = s.Pool.DeepCopy()
		s.Revision = fmt.Sprintf("e%d", edit)
		if len(s.StoredRevisions) > 0 && rng.IntN(3) == 0 { // the template is one that was
			s.Revision = s.StoredRevisions[rng.IntN(len(s.StoredRevisions))]
		}
		if !slices.Contains(s.StoredRevisions, s.Revision) {
			s.StoredRevisions = append(slices.Clone(s.StoredRevisions), s.Revision)
		}
		for i := range int64(machines) { // Some run it, some go back from it, and some have not heard of it.
			name := newMachine(i).Name
			was := s.Agents[name].Status.CurrentRevision
			switch rng.IntN(4) {
			case 0:
				s.Agents[name] = runs(i, s.Revision)
			case 1:
				s.Agents[name] = runs(i, was, wentBack(s.Revision))
			}
			s.Agents[name].Status.PreviousRevision = was
		}
		result := Plan(s)
		s.Pool.Status, _ = Report(s, result, Outcome{})
		s.StoredRevisions = slices.DeleteFunc(slices.Clone(s.StoredRevisions), func(one string) bool { return slices.Contains(result.PruneRevisions, one) })
		used := []string{s.Revision, s.Pool.Status.Rollout.CompletedRevision}
		if failed := s.Pool.Status.Rollout.Failed; failed != nil {
			used = append(used, failed.PreviousRevision)
		}
		for _, agent := range s.Agents {
			used = append(used, agent.Spec.Revision, agent.Status.CurrentRevision, agent.Status.PreviousRevision)
		}
		slices.Sort(used)
		used = slices.DeleteFunc(slices.Compact(used), func(one string) bool { return one == "" })
		for _, one := range used {
			if !slices.Contains(s.StoredRevisions, one) && one != "r-1" {
				t.Fatalf("edit %d: %s is used, and not kept: %v", edit, one, s.StoredRevisions)
			}
		}
		// Besides, r1 is what the machines were made from, and two are those that the status named before this round.
		if n := len(s.StoredRevisions); n > limit+len(used)+3 {
			t.Fatalf("edit %d: %d revisions are kept, %d of them used, and the limit is %d", edit, n, len(used), limit)
		}
		most = max(most, len(s.StoredRevisions))
	}
	if most <= limit {
		t.Errorf("no more than %d were ever kept: nothing was used", most)
	}
}
