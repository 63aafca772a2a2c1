package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// what is a fault or an edit.
type what int

const (
	// Faults that a manager's next writes run into.
	conflict what = iota
	refusal
	lostResponse
	crashBefore
	crashAfter
	twoLeaders
	// Faults that last.
	unreachable
	undiscovered
	quota
	blockedDrain
	stillborn
	partition
	lateCache
	illMachine
	silentMachine
	// Things that somebody does whom nobody asked to.
	lostStatus
	oldStatus
	takenName
	lostAgent
	// Edits that users make.
	editReplicas
	editTemplate
	editBack
	editLabels
	editPause
	editResume
	editRollout
	deleteMachine
	deleteFirst
	deletePool
	whats
)

const firstEdit = editReplicas

var whatNames = [whats]string{
	conflict: "somebody else writes the object first", refusal: "a write is refused by an error of the server", lostResponse: "the answer to a write is lost",
	crashBefore: "the manager dies before a write", crashAfter: "the manager dies after a write", twoLeaders: "the manager hangs, and another one leads",
	unreachable: "the manager cannot reach the API server", undiscovered: "the facts of the cluster are not to be had", quota: "a quota forbids Machines",
	blockedDrain: "a budget lets no pod go", stillborn: "machines do not boot", partition: "nothing is heard of any machine", lateCache: "a cache is late",
	illMachine: "a machine falls ill", silentMachine: "nothing is heard of a machine", lostStatus: "the pool's status is lost",
	oldStatus: "an old status of the pool is put back", takenName: "a foreign Node takes a name", lostAgent: "a NodeAgent is deleted",
	editReplicas: "replicas", editTemplate: "another template", editBack: "the template before", editLabels: "labels of the template", editPause: "paused",
	editResume: "not paused any more", editRollout: "how it rolls out", deleteMachine: "deletes a machine", deleteFirst: "annotates a machine to go first", deletePool: "deletes the pool",
}

func (w what) String() string { return whatNames[w] }

func (w what) isEdit() bool { return w >= firstEdit }

// event is one fault or edit of a day's story.
type event struct {
	// id is its place in the story.
	id int
	at time.Duration
	what
	// number says which one, or how many; what that means depends on what happens.
	number int
	// lasts is for how long, for what lasts.
	lasts time.Duration
}

func (e event) String() string {
	text := fmt.Sprintf("%s  #%d ", clock(e.at), e.id)
	if e.isEdit() {
		text += "a user: "
	}
	text += whatNames[e.what]
	switch {
	case e.what == editTemplate:
		text += ", " + templateOf(e.number).String()
	case e.what == editReplicas:
		text += fmt.Sprintf(" %d", e.number)
	case e.what == editRollout:
		text += ": " + rolloutOf(e.number).String()
	case e.what == lateCache:
		text += ", that of " + kind(e.number).String() + "s"
	case e.what <= twoLeaders:
		text += fmt.Sprintf(", the next but %d", e.number)
	}
	if e.lasts > 0 {
		text += fmt.Sprintf(", for %s", e.lasts.Round(time.Second))
	}
	return text
}

func clock(d time.Duration) string { return time.Time{}.Add(d).Format("15:04:05.000") }

// A day has spells: for a while users edit and faults strike, then all faults end, and the pool has the rest of the spell to
// become what its spec says.
const (
	spells = 6
	spell  = 24 * time.Hour / spells
	// storm is how long faults strike for.
	storm = 90 * time.Minute
	// Bound is the time that a pool has to become what its spec says once all faults have ended.
	Bound = spell - storm
	// The least that happens in each day. More is planned, as not all of it meets something to strike.
	MinFaults = 24
	MinEdits  = 12
)

// storyOf makes up a day.
func storyOf(seed uint64) []event {
	rng := rand.New(rand.NewPCG(seed, 0x5eed)) //nolint:gosec // a simulation wants to be repeated
	var story []event
	for i := range spells {
		start := time.Duration(i)*spell + random(rng, 5*time.Minute, 30*time.Minute)
		edits := editsFrom(rng, start)
		story = append(story, edits...)
		for range 9 + rng.IntN(6) {
			story = append(story, faultAround(rng, edits[rng.IntN(len(edits))].at))
		}
	}
	slices.SortStableFunc(story, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for i := range story {
		story[i].id = i
	}
	return story
}

func random(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

// editsFrom are the edits of one spell. Some come while what the last one asked for has just begun.
func editsFrom(rng *rand.Rand, at time.Duration) []event {
	var edits []event
	for range 4 + rng.IntN(3) {
		edits = append(edits, event{at: at, what: likely(rng, editOdds), number: rng.IntN(1 << 16)})
		if e := &edits[len(edits)-1]; e.what == editReplicas {
			e.number %= 7
		}
		if rng.IntN(2) == 0 {
			at += random(rng, 50*time.Millisecond, 20*time.Second)
		} else {
			at += random(rng, 20*time.Second, 8*time.Minute)
		}
	}
	return edits
}

// faultAround is a fault about the time of an edit: at other times there is little to disturb.
func faultAround(rng *rand.Rand, edit time.Duration) event {
	e := event{what: likely(rng, faultOdds), number: rng.IntN(1 << 16)}
	switch {
	case e.what <= twoLeaders:
		e.at, e.number = edit+random(rng, -time.Second, 30*time.Second), rng.IntN(8)
	case e.what == lateCache:
		e.at, e.number, e.lasts = edit+random(rng, -10*time.Second, 2*time.Minute), rng.IntN(int(revisions)+1), random(rng, time.Second, time.Minute)
	default:
		e.at, e.lasts = edit+random(rng, -20*time.Second, 5*time.Minute), random(rng, 2*time.Second, 10*time.Minute)
	}
	if e.what > silentMachine {
		e.lasts = 0
	}
	return e
}

// odds are how likely each of several things is.
type odds []struct {
	what
	weight int
}

var editOdds = odds{
	{editReplicas, 8}, {editTemplate, 9}, {editBack, 3}, {editLabels, 1}, {editPause, 2}, {editResume, 2}, {editRollout, 3}, {deleteMachine, 3}, {deleteFirst, 1}, {deletePool, 1},
}

var faultOdds = odds{
	{conflict, 4}, {refusal, 4}, {lostResponse, 5}, {crashBefore, 3}, {crashAfter, 5}, {twoLeaders, 5},
	{unreachable, 1}, {undiscovered, 1}, {quota, 1}, {blockedDrain, 1}, {stillborn, 2}, {partition, 1}, {lateCache, 10}, {illMachine, 4}, {silentMachine, 4},
	{lostStatus, 1}, {oldStatus, 1}, {takenName, 1}, {lostAgent, 1},
}

func likely(rng *rand.Rand, from odds) what {
	sum := 0
	for _, one := range from {
		sum += one.weight
	}
	n := rng.IntN(sum)
	for _, one := range from {
		if n -= one.weight; n < 0 {
			return one.what
		}
	}
	return from[0].what
}
