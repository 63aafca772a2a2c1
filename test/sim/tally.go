package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tally is what was gone through.
type Tally struct {
	// Days are the pool-days.
	Days int
	// Plans are the rounds of observe, plan and apply; Writes are those that the managers made of it, Conflicts those of them that
	// somebody else was faster than, and StaleReads the lists that a cache gave which was behind.
	Plans, Writes, Conflicts, StaleReads int
	// Machines are those that were made, Changes those told to run another revision, Together those whose change began or went on beside
	// that of others, Rollbacks those that went back, Repairs those replaced as they were unhealthy, Rungs what agents did for that.
	Machines, Changes, Together, Rollbacks, Repairs, Rungs int
	// Agents are those whose agent became another version, AgentsGivenUp those whose agent did not.
	Agents, AgentsGivenUp int
	// TakenBack are those that were given back what worked, as another went back.
	TakenBack int
	// Replaced are those that went while they were available, for others made from another template.
	Replaced int
	// Expired are those that went while they were available, for their age.
	Expired int
	// Faults and Edits are those that met something. Happened has them by what they were.
	Faults, Edits int
	Happened      map[string]int
	// LeastFaults and LeastEdits are those of the day that had the fewest.
	LeastFaults, LeastEdits int
	// Overdue is how often a pool said that its rollout does not get on.
	Overdue int
	// Forced is how often a node was changed with pods on it that could not be drained in time.
	Forced                  int
	faultsToday, editsToday int
	// Quiets is how often a pool was found to be what its spec says after a storm.
	Quiets int
}

// endDay counts a day that is over.
func (t *Tally) endDay() {
	t.Days++
	if t.Days == 1 {
		t.LeastFaults, t.LeastEdits = t.faultsToday, t.editsToday
	}
	t.LeastFaults, t.LeastEdits = min(t.LeastFaults, t.faultsToday), min(t.LeastEdits, t.editsToday)
	t.faultsToday, t.editsToday = 0, 0
}

// enough says that a day has had as many faults, and for an edit as many edits as well, as it must have, and one more of these: a
// storm in which the fleet is stopped to the end may have none left that met something.
func (t *Tally) enough(edit bool) bool {
	return t.faultsToday >= MinFaults && (!edit || t.editsToday > MinEdits)
}

// Add adds another week's.
func (t *Tally) Add(o Tally) {
	t.Days += o.Days
	t.Plans += o.Plans
	t.Writes += o.Writes
	t.Conflicts += o.Conflicts
	t.StaleReads += o.StaleReads
	t.Machines += o.Machines
	t.Changes += o.Changes
	t.Together += o.Together
	t.Rollbacks += o.Rollbacks
	t.Repairs += o.Repairs
	t.TakenBack += o.TakenBack
	t.Agents += o.Agents
	t.AgentsGivenUp += o.AgentsGivenUp
	t.Rungs += o.Rungs
	t.Replaced += o.Replaced
	t.Expired += o.Expired
	t.Faults += o.Faults
	t.Edits += o.Edits
	t.Overdue += o.Overdue
	t.Forced += o.Forced
	t.Quiets += o.Quiets
	if t.Days == o.Days {
		t.LeastFaults, t.LeastEdits = o.LeastFaults, o.LeastEdits
	}
	t.LeastFaults, t.LeastEdits = min(t.LeastFaults, o.LeastFaults), min(t.LeastEdits, o.LeastEdits)
	if t.Happened == nil {
		t.Happened = map[string]int{}
	}
	for what, n := range o.Happened {
		t.Happened[what] += n
	}
}

func (t Tally) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d pool-days: %d plans, %d writes, %d faults (each day %d or more), %d edits (each day %d or more); %d machines made, %d changed in place, %d times beside others, %d with pods that could not go, %d rolled back, %d taken back from, %d that changed their agent and %d that gave it up, %d rollouts that did not get on, %d rungs taken by agents and %d machines replaced by repair, %d by others, %d for their age; %d lists from a cache that was behind, "+
		"%d conflicts; %d times found to be what the spec says", t.Days, t.Plans, t.Writes, t.Faults, t.LeastFaults, t.Edits, t.LeastEdits, t.Machines, t.Changes, t.Together, t.Forced, t.Rollbacks, t.TakenBack, t.Agents, t.AgentsGivenUp, t.Overdue, t.Rungs, t.Repairs, t.Replaced, t.Expired, t.StaleReads, t.Conflicts, t.Quiets)
	return text.String()
}

// Each says how often each fault struck and each edit was made.
func (t Tally) Each() string {
	var lines []string
	for _, name := range slices.SortedFunc(maps.Keys(t.Happened), func(a, b string) int { return cmp.Or(t.Happened[b]-t.Happened[a], strings.Compare(a, b)) }) {
		lines = append(lines, fmt.Sprintf("%9d  %s", t.Happened[name], name))
	}
	return strings.Join(lines, "\n")
}
