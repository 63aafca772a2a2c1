package planner

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var (
	simulationSeed  = flag.Uint64("simulation.seed", 0, "replay this one seed of the simulation")
	simulationFirst = flag.Uint64("simulation.first", 1, "the first seed that the simulation runs")
	simulationRuns  = flag.Int("simulation.runs", 1000, "how many seeds the simulation runs, from the first on")
	simulationSteps = flag.Int("simulation.steps", 400, "how many steps each of them has")
)

// TestSimulation runs the real planner against a fleet that goes through stale caches, crashes between any two writes,
// two leaders, dying machines, lost statuses, foreign Nodes, stalls and users' edits. The invariants are checked at each write; at
// the end everything heals, and the fleet must be what the pool says.
//
// Replay a failure: go test ./controllers/planner -run TestSimulation -simulation.seed=N
func TestSimulation(t *testing.T) {
	var total tallies
	seeds := make([]uint64, 0, *simulationRuns)
	for i := range *simulationRuns {
		seeds = append(seeds, *simulationFirst+uint64(i)) //nolint:gosec // never negative
	}
	if *simulationSeed != 0 {
		seeds = []uint64{*simulationSeed}
	}
	started := time.Now()
	for _, seed := range seeds {
		w := newWorld(seed)
		err := w.run(*simulationSteps)
		total.add(w.tallies)
		if err != nil {
			t.Fatalf("seed %d, step %d: %v\nreplay with -simulation.seed=%d\n%s", seed, w.step, err, seed, w.history())
		}
	}
	fmt.Printf("simulation: %d seeds in %s: %s\n", len(seeds), time.Since(started).Round(time.Millisecond), total)
	if *simulationSeed == 0 {
		for what, n := range map[string]int{
			"plans": total.plans, "writes": total.writes, "crashes": total.crashes, "edits": total.edits,
			"deaths": total.deaths, "lost statuses": total.lost, "double leaders": total.doubles, "conflicts": total.conflicts, "replays": total.replays,
			"updates": total.updates, "commits": total.commits, "rollbacks": total.rollbacks, "silences": total.silences, "confirmed plans": total.confirms, "drains": total.drains, "agents changed": total.agentChanges, "agents given up": total.agentsGivenUp, "nodes changed beside others": total.together, "rollouts that did not get on": total.overdue, "machines replaced": total.replaced,
			"plans about other machines than were read": total.others, "repairs": total.repairs, "repairs that others ask for": total.asked, "answers to these": total.answers, "rungs that agents take": total.treated, "replacements after such": total.climbed, "rungs begun that no agent was asked for": total.dropped, "partitions": total.partitions, "machines expired": total.expired, "machines refreshed": total.refreshed,
		} {
			if n == 0 {
				t.Errorf("the simulation never had any %s: it tests nothing of the kind", what)
			}
		}
	}
}

// tallies are what the simulation went through.
type tallies struct{ expired, refreshed, agentChanges, agentsGivenUp, plans, writes, crashes, stale, edits, deaths, doubles, conflicts, replays, taken, machines, crippled, lost, repairs, asked, answers, partitions, updates, commits, rollbacks, silences, confirms, drains, together, overdue, others, replaced, treated, climbed, dropped int }

func (t *tallies) add(o tallies) {
	t.plans += o.plans
	t.writes += o.writes
	t.crashes += o.crashes
	t.stale += o.stale
	t.edits += o.edits
	t.deaths += o.deaths
	t.doubles += o.doubles
	t.conflicts += o.conflicts
	t.replays += o.replays
	t.taken += o.taken
	t.machines += o.machines
	t.crippled += o.crippled
	t.lost += o.lost
	t.repairs += o.repairs
	t.asked += o.asked
	t.answers += o.answers
	t.treated += o.treated
	t.climbed += o.climbed
	t.dropped += o.dropped
	t.partitions += o.partitions
	t.updates += o.updates
	t.commits += o.commits
	t.rollbacks += o.rollbacks
	t.silences += o.silences
	t.confirms += o.confirms
	t.drains += o.drains
	t.together += o.together
	t.agentChanges += o.agentChanges
	t.agentsGivenUp += o.agentsGivenUp
	t.others += o.others
	t.overdue += o.overdue
	t.replaced += o.replaced
	t.expired += o.expired
	t.refreshed += o.refreshed
}

func (t tallies) String() string {
	return fmt.Sprintf("%d plans, %d writes, %d machines; faults: %d crashes, %d stale reads, %d conflicts, %d double leaders, %d replays, %d deaths, %d names taken, %d machines crippled by double leaders, %d statuses lost or set back, %d silent, %d partitions; %d rungs taken by agents, %d begun that none was asked for, %d machines replaced by repair (%d after rungs, %d that others asked for), %d nodes changed, %d of them beside others, %d commits, %d went back, %d agents changed and %d given up, %d drains, %d machines replaced by others, %d expired, %d refreshed; %d edits by users",
		t.plans, t.writes, t.machines, t.crashes, t.stale, t.conflicts, t.doubles, t.replays, t.deaths, t.taken, t.crippled, t.lost, t.silences, t.partitions, t.treated, t.dropped, t.repairs, t.climbed, t.asked, t.updates, t.together, t.commits, t.rollbacks, t.agentChanges, t.agentsGivenUp, t.drains, t.replaced, t.expired, t.refreshed, t.edits)
}

// run goes that many random steps, then heals the world and waits for it to settle.
func (w *world) run(steps int) error {
	for w.step = 1; w.step <= steps && w.broken == nil; w.step++ {
		w.now = w.now.Add(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
		w.randomStep()
	}
	w.heal()
	for range 20_000 {
		if w.broken != nil || w.settled() == nil {
			break
		}
		w.step++
		w.managers[0].catchUp()
		w.managers[0].act()
		w.machinesProgress(1)
		w.agentsProgress(1)
	}
	if w.broken != nil {
		return w.broken
	}
	return w.settled()
}

func (w *world) randomStep() {
	switch n := w.illness(w.rng.IntN(100)); {
	case n < 55:
		w.managers[w.rng.IntN(len(w.managers))].act()
	case n < 70:
		w.managers[w.rng.IntN(len(w.managers))].catchUpSome()
	case n < 78:
		w.machinesProgress(0.5)
	case n < 84:
		w.agentsProgress(0.5)
	case n < 85:
		w.factChanges()
	case n < 90:
		w.managers[w.rng.IntN(len(w.managers))].crash()
	case n < 92:
		w.changeLeaders()
	case n < 94:
		if w.rng.IntN(10) == 0 {
			w.partition()
			return
		}
		w.machineDies()
	case n < 95:
		w.takeName()
	case n < 96:
		w.losesStatus()
	case n < 97:
		w.stalledNow = !w.stalledNow
	default:
		w.userEdits()
	}
}

func newWorld(seed uint64) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // a simulation wants to be repeated
		now: epoch, pool: newPool(3, 0), machines: machines{}, infra: map[string]bool{}, everMade: map[string]int{},
		foreign: map[string]bool{}, revision: "r1",
		agents: map[string]*v1alpha1.NodeAgent{}, good: map[string]string{}, changed: map[string]int{}, silent: map[string]bool{}, cordoned: map[string]bool{}, bad: map[string]bool{},
	}
	w.pool.Status.NextOrdinal = nil
	w.pool.Finalizers = []string{"ours"}
	w.pool.ResourceVersion = "1"
	w.pool.Spec.Repair = simulatedRepair("60%", ladders[seed%uint64(len(ladders))]...)
	w.managers = []*manager{newManager(w)}
	return w
}
