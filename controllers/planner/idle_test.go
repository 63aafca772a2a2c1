package planner

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestAPoolThatCanDoNothingIsLeftAlone, in whatever state its machines are, silent ones above all: once their agents and
// Cluster API do nothing more, a round asks for no other one, and writes nothing.
func TestAPoolThatCanDoNothingIsLeftAlone(t *testing.T) {
	const seeds, settled = 5000, 8
	for seed := range uint64(seeds) {
		s := anyPool(rand.New(rand.NewPCG(seed, 7))) //nolint:gosec // for the same pools each time
		for range settled {
			takeRound(&s)
		}
		s.Now = s.Now.Add(defaultProgressDeadline * time.Second) // A rollout that does not get on has said so then.
		takeRound(&s)
		was := s.Pool.Status
		if result := takeRound(&s); len(result.Actions) > 0 || result.RequeueAfter > 0 {
			t.Fatalf("seed %d: after %d rounds it does %+v, and asks for another one after %s", seed, settled, result.Actions, result.RequeueAfter)
		}
		if diff := cmp.Diff(was, s.Pool.Status); diff != "" {
			t.Fatalf("seed %d: after %d rounds its status is another one (-was +is):\n%s", seed, settled, diff)
		}
	}
}

// anyPool is a pool with as many machines as it wants, each in some state.
func anyPool(rng *rand.Rand) Snapshot {
	joinedAnd := func(edit func(*clusterv1.Machine)) func(*clusterv1.Machine) {
		return func(m *clusterv1.Machine) { edit(m); joined(m) }
	}
	states := []func(*clusterv1.Machine){unready, silent, neverReported, leaving, joined, joinedAnd(silent), joinedAnd(neverReported), joinedAnd(leaving)}
	answers := []func(*v1alpha1.NodeAgent){
		unheard, unstarted, wentBack("r0"), wentBack("r1"), given("r0", v1alpha1.PhaseStaging), given("r1", v1alpha1.PhaseProbation), given("r1", v1alpha1.PhaseCommitted),
	}
	sometimes := func(one, of int) bool { return rng.IntN(of) < one }
	pool := newPool(0, 9)
	var machines []*clusterv1.Machine
	var agents []*v1alpha1.NodeAgent
	cordoned := map[string]bool{}
	for ordinal := range int64(1 + rng.IntN(3)) {
		m := newMachine(ordinal, states[rng.IntN(len(states))])
		if sometimes(1, 2) {
			outdated(m)
		}
		if sometimes(1, 4) {
			isUpdating(ordinal)(pool)
		}
		if cordoned[m.Name] = sometimes(1, 4); sometimes(4, 5) {
			agents = append(agents, runs(ordinal, []string{"r-1", "r0", "r1"}[rng.IntN(3)], answers[rng.IntN(len(answers))]))
		}
		if m.DeletionTimestamp.IsZero() {
			*pool.Spec.Replicas++
		}
		machines = append(machines, m)
	}
	s := snapshot(pool, machines...)
	hasAgents(agents...)(&s)
	s.Live, s.Cordoned = false, cordoned
	if sometimes(1, 3) {
		s.Contents["r1"].Spec.Version = "v1.37.2" // for which nodes are drained
	}
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: sometimes(1, 5)}
	return s
}

// takeRound plans, confirms that where it is asked to, and does it.
func takeRound(s *Snapshot) Result {
	s.Confirmed = false
	result := Plan(*s)
	if len(result.Confirm) > 0 || result.Live {
		s.Confirmed, s.Live = true, true
		result = Plan(*s)
	}
	made := slices.Clone(s.Machines)
	for _, a := range result.Actions {
		switch a.Verb {
		case Release:
			made = slices.DeleteFunc(made, func(m *clusterv1.Machine) bool { return m.Name == a.Name })
		case Create:
			made = append(made, newMachine(a.Ordinal, unready, func(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = a.Revision }))
		case Delete:
			i := slices.IndexFunc(made, func(m *clusterv1.Machine) bool { return m.Name == a.Name })
			made[i] = made[i].DeepCopy()
			leaving(made[i])
		case Uncordon:
			s.Cordoned[a.Name] = false
		case Update:
			told := s.Agents[a.Name].DeepCopy()
			told.Spec.Revision = a.Revision
			told.Generation++
			s.Agents[a.Name] = told
		}
	}
	s.Pool = s.Pool.DeepCopy()
	s.Pool.Status, _ = Report(*s, result, Outcome{
		Created: result.Of(Create), Deleted: result.Of(Delete), Updated: result.Of(Update), ReservationFinished: result.FinishReservation,
	})
	s.Machines, s.Live = made, false
	return result
}
