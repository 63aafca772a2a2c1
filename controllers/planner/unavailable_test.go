package planner

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func mayMiss(most string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		value := intstr.Parse(most)
		p.Spec.Rollout.MaxUnavailable = &value
	}
}

func TestHowManyMayBeUnavailable(t *testing.T) {
	for most, c := range map[string]struct {
		reason   string
		replicas int32
		want     int
	}{
		"":      {"one at a time is the default", 100, 1},
		"3":     {"a number is that", 10, 3},
		"40":    {"it may be more than the pool has", 10, 40},
		"30%":   {"a percentage is of the replicas", 10, 3},
		"25%":   {"it is rounded down", 7, 1},
		"10%":   {"what rounds to nothing is one, so that the rollout gets on", 9, 1},
		"1%":    {"also in a pool of none", 0, 1},
		"100%":  {"all may be", 4, 4},
		"50%":   {"a status names no more", 10_000, maxUpdating},
		"10000": {"whatever is asked for", 10_000, maxUpdating},
		"0":     {"the schema refuses it; a rollout that never begins would be worse", 10, 1},
		"x%":    {"so it is with what is no percentage", 10, 1},
	} {
		pool := newPool(c.replicas, 0)
		if most != "" {
			mayMiss(most)(pool)
		}
		if got := maxUnavailable(pool); got != c.want {
			t.Errorf("%s of %d: %s: got %d, want %d", most, c.replicas, c.reason, got, c.want)
		}
	}
}

// TestSeveralAtATime: as many changes of nodes are open at once as nodes may be unavailable, those counted that are so for another cause.
func TestSeveralAtATime(t *testing.T) {
	probation := func(ordinal int64) *v1alpha1.NodeAgent {
		return runs(ordinal, "r1", given("r1", v1alpha1.PhaseProbation))
	}
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
	}
	four := ms(made(0), made(1), made(2), made(3))
	all := func(revision string) []*v1alpha1.NodeAgent {
		return as(runs(0, revision), runs(1, revision), runs(2, revision), runs(3, revision))
	}
	name := func(ordinal int64) string { return newMachine(ordinal).Name }
	for what, c := range map[string]struct {
		reason   string
		most     string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		want     []int64
		updating []int64
		deferred string
		words    string
	}{
		"two of four":         {reason: "two begin at once, and two wait", most: "2", machines: four, agents: all("r0"), want: []int64{0, 1}, updating: []int64{0, 1}, deferred: DeferredMaxUnavailable, words: "2 may be unavailable at once, and 2 are: " + name(0) + " is changed first, " + name(1) + " is changed first"},
		"half":                {reason: "a percentage is of the replicas", most: "50%", machines: four, agents: all("r0"), want: []int64{0, 1}, updating: []int64{0, 1}, deferred: DeferredMaxUnavailable},
		"a percentage of one": {reason: "what rounds to nothing is one at a time, and says so", most: "20%", machines: four, agents: all("r0"), want: []int64{0}, updating: []int64{0}, deferred: DeferredRollout},
		"more than there are": {reason: "then all begin at once", most: "9", machines: four, agents: all("r0"), want: []int64{0, 1, 2, 3}, updating: []int64{0, 1, 2, 3}},
		"one of two is under way": {
			reason: "one more may begin", most: "2", pool: edits(isUpdating(0)), machines: four, agents: as(probation(0), runs(1, "r0"), runs(2, "r0"), runs(3, "r0")),
			want: []int64{1}, updating: []int64{0, 1}, deferred: DeferredMaxUnavailable, words: name(0) + " is in Probation with revision r1, " + name(1) + " is changed first",
		},
		"two are under way":                {reason: "no other begins", most: "2", pool: edits(isUpdating(0, 1)), machines: four, agents: as(probation(0), probation(1), runs(2, "r0"), runs(3, "r0")), updating: []int64{0, 1}, deferred: DeferredMaxUnavailable},
		"one of two is over":               {reason: "the other one's change does not keep the next from beginning", most: "2", pool: edits(isUpdating(0, 1)), machines: four, agents: as(runs(0, "r1"), probation(1), runs(2, "r0"), runs(3, "r0")), want: []int64{2}, updating: []int64{1, 2}, deferred: DeferredMaxUnavailable},
		"one that runs it is broken":       {reason: "it is unavailable for whatever cause, so one more may be", most: "2", machines: ms(made(0, unready), made(1), made(2), made(3)), agents: as(runs(0, "r1"), runs(1, "r0"), runs(2, "r0"), runs(3, "r0")), want: []int64{1}, updating: []int64{1}, deferred: DeferredMaxUnavailable, words: name(0) + " runs revision r1 and is not ready"},
		"a broken one is not changed":      {reason: "it goes first, and one that works beside it", most: "2", machines: ms(made(0), made(1), made(2), made(3, unready)), agents: all("r0"), want: []int64{3, 0}, updating: []int64{0, 3}, deferred: DeferredMaxUnavailable},
		"more are broken than may be":      {reason: "those that work are left alone", most: "2", machines: ms(made(0), made(1, unready), made(2, unready), made(3, unready)), agents: all("r0"), want: []int64{1, 2}, updating: []int64{1, 2}, deferred: DeferredMaxUnavailable},
		"one is silent":                    {reason: "it is passed over, and nobody waits for it", most: "2", machines: ms(made(0, silent), made(1), made(2), made(3)), agents: all("r0"), want: []int64{1, 2}, updating: []int64{1, 2}, deferred: DeferredMaxUnavailable},
		"somebody deletes one":             {reason: "it is drained, and counts", most: "2", pool: edits(wants(3)), machines: ms(made(0), made(1), made(2), made(3, leaving)), agents: all("r0"), want: []int64{0}, updating: []int64{0}, deferred: DeferredMaxUnavailable, words: name(3) + " is being deleted"},
		"one is deleted that has no Node":  {reason: "nobody misses it", most: "2", pool: edits(wants(3)), machines: ms(made(0), made(1), made(2), newMachine(3, outdated, leaving)), agents: all("r0"), want: []int64{0, 1}, updating: []int64{0, 1}, deferred: DeferredMaxUnavailable},
		"scaled down meanwhile":            {reason: "those that go are unavailable, and are not changed", most: "2", pool: edits(wants(3)), machines: four, agents: all("r0"), want: []int64{0}, updating: []int64{0}, deferred: DeferredMaxUnavailable, words: "machines are being deleted"},
		"scaled down by as many as may be": {reason: "so none is changed until they are gone", most: "2", pool: edits(wants(2)), machines: four, agents: all("r0"), deferred: DeferredMaxUnavailable},
		"edited while two change":          {reason: "both turn to the newest, and no other begins", most: "2", pool: edits(isUpdating(1, 2)), machines: four, agents: as(runs(0, "r0"), runs(1, "r-1", given("r0", v1alpha1.PhaseProbation)), runs(2, "r-1", given("r0", v1alpha1.PhaseStaging)), runs(3, "r0")), want: []int64{1, 2}, updating: []int64{1, 2}, deferred: DeferredMaxUnavailable},
		"edited while one of two changes":  {reason: "the one under way turns to the newest, and one more begins", most: "2", pool: edits(isUpdating(1)), machines: four, agents: as(runs(0, "r0"), runs(1, "r-1", given("r0", v1alpha1.PhaseProbation)), runs(2, "r0"), runs(3, "r0")), want: []int64{1, 0}, updating: []int64{0, 1}, deferred: DeferredMaxUnavailable},
		"lowered while three change":       {reason: "what is under way goes on, and nothing else begins", most: "1", pool: edits(isUpdating(0, 1, 2)), machines: four, agents: as(probation(0), probation(1), runs(2, "r0"), runs(3, "r0")), updating: []int64{0, 1, 2}, deferred: DeferredRollout},
		"lowered before two were written":  {reason: "they were named, and go one after the other", most: "1", pool: edits(isUpdating(0, 1)), machines: four, agents: all("r0"), want: []int64{0}, updating: []int64{0, 1}, deferred: DeferredRollout},
		"begun and not written":            {reason: "a manager died after it had said which two: those it is", most: "2", pool: edits(isUpdating(2, 3)), machines: four, agents: all("r0"), want: []int64{2, 3}, updating: []int64{2, 3}, deferred: DeferredMaxUnavailable},
		"a status was lost":                {reason: "a cordon tells of one, which is uncordoned before anything else", most: "2", machines: four, agents: all("r0"), edit: func(s *Snapshot) { s.Cordoned = map[string]bool{name(3): true} }, want: []int64{0}, updating: []int64{0, 3}, deferred: DeferredMaxUnavailable},
		"begun, and somebody deletes":      {reason: "those whose change has begun go on; a third does not begin", most: "2", pool: edits(isUpdating(0, 1), wants(3)), machines: ms(made(0), made(1), made(2), made(3, leaving)), agents: all("r0"), want: []int64{0, 1}, updating: []int64{0, 1}, deferred: DeferredMaxUnavailable},
		"one went back":                    {reason: "nobody else is given it, however many may be unavailable", most: "3", pool: edits(isUpdating(0)), machines: four, agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0"), runs(2, "r0"), runs(3, "r0")), updating: []int64{0}, deferred: DeferredRolledBack},
		"paused":                           {reason: "a paused pool changes nothing", most: "3", pool: edits(isPaused), machines: four, agents: all("r0"), deferred: DeferredPaused},
		"never joined":                     {reason: "machines without a Node disturb nobody, and take nobody's place", most: "2", machines: ms(made(0), made(1), newMachine(2, outdated, unready), newMachine(3, outdated, unready)), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0", unstarted), runs(3, "r0", unstarted)), want: []int64{2, 3, 0, 1}, updating: []int64{0, 1}},
	} {
		t.Run(what, func(t *testing.T) {
			pool := newPool(int32(len(c.machines)), 9, append(c.pool, mayMiss(c.most))...) //nolint:gosec // a few
			s := snapshot(pool, c.machines...)
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v are given the target, want %v", c.reason, got, c.want)
			}
			var updating []string
			for _, ordinal := range c.updating {
				updating = append(updating, name(ordinal))
			}
			if !slices.Equal(result.Updating, updating) {
				t.Errorf("%s: the status names %v, want %v", c.reason, result.Updating, updating)
			}
			deferred, message := "", ""
			for _, d := range result.Deferred {
				if d.Verb == Update {
					deferred, message = d.Reason, d.Message
				}
			}
			if deferred != c.deferred || !strings.Contains(message, c.words) || deferred != "" && message == "" {
				t.Errorf("%s: deferred for %q: %q, want %q: %q", c.reason, deferred, message, c.deferred, c.words)
			}
		})
	}
}

// TestSeveralAreConfirmedAtOnce: what is named in one write of the status was read from the API server in one round.
func TestSeveralAreConfirmedAtOnce(t *testing.T) {
	s := snapshot(newPool(3, 9, mayMiss("2"), isUpdating(2)), newMachine(0, outdated), newMachine(1, outdated), newMachine(2, outdated))
	hasAgents(runs(0, "r0"), runs(1, "r0"), runs(2, "r1"))(&s)
	s.Confirmed = false
	result := Plan(s)
	want := []string{newMachine(2).Name, newMachine(0).Name, newMachine(1).Name}
	if !slices.Equal(result.Confirm, want) || len(result.Of(Update)) > 0 || !slices.Equal(result.Updating, want[:1]) {
		t.Errorf("to confirm are %v, want %v; changed are %v, and the status names %v", result.Confirm, want, result.Of(Update), result.Updating)
	}
}
