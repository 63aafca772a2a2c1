package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// event is one fault or edit of a day's story.
type event struct {
	// id is its place in the story.
	id int
	at time.Duration
	*happening
	// number says which one, or how many; what that means depends on what happens.
	number int
	// lasts is for how long, for what lasts.
	lasts time.Duration
	// spare says that it happens only on a day that has not had enough of its like.
	spare bool
}

func (e event) String() string { return clock(e.at) + "  " + e.what() }

// what is the event without its time.
func (e event) what() string {
	text := fmt.Sprintf("#%d ", e.id)
	if e.edit {
		text += "a user: "
	}
	text += e.name
	if e.tells != nil {
		text += ": " + e.tells(e.number)
	}
	if e.lasts > 0 {
		text += fmt.Sprintf(", for %s", e.lasts.Round(time.Second))
	}
	return text
}

func clock(d time.Duration) string { return epoch.Add(d).Format("Mon 15:04:05.000") }

// A seed is a week of a pool. Each of its days has a storm: for a while users edit and faults strike, then all faults end, and the pool
// has a time to become what its spec says. For the rest of the day nothing happens, which takes no time to simulate.
const (
	days = 7
	day  = 24 * time.Hour
	// storm is how long faults strike for.
	storm = 90 * time.Minute
	// Bound is the time that a pool has to become what its spec says once all faults have ended.
	Bound = 150 * time.Minute
	// The least that happens in each day, of what met something. Where a storm has not had it, it goes on with what meets something.
	MinFaults = 6
	MinEdits  = 3
	// spares are as many of each as may be needed for that.
	spares = 2 * MinFaults
)

// storyOf makes up a week: when each day's storm begins, and what happens.
func storyOf(seed uint64) (storms [days]time.Duration, story []event) {
	rng := rand.New(rand.NewPCG(seed, 0x5eed)) //nolint:gosec // a simulation wants to be repeated
	for i := range storms {
		storms[i] = time.Duration(i)*day + random(rng, 0, day-storm-Bound)
		made := editsFrom(rng, storms[i]+random(rng, 5*time.Minute, 30*time.Minute))
		story = append(story, made...)
		for range 8 + rng.IntN(4) {
			story = append(story, drawn(rng, faults, made[rng.IntN(len(made))].at))
		}
		story = append(story, sparesFrom(rng, storms[i]+time.Hour)...)
	}
	slices.SortStableFunc(story, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for i := range story {
		story[i].id = i
	}
	return storms, story
}

// sparesFrom are edits that ask for writes, and faults that these run into. Where a
// pool that is being deleted is paused, or the fleet stopped, that is ended first.
func sparesFrom(rng *rand.Rand, at time.Duration) []event {
	var spare []event
	for i := range spares {
		fault := []*happening{conflict, refusal, lostResponse, crashAfter}[rng.IntN(4)]
		spare = append(spare, event{at: at, happening: fault, spare: true}, event{at: at + time.Second, happening: endStop, spare: true},
			event{at: at + time.Second, happening: editResume, spare: true},
			event{at: at + 2*time.Second, happening: editReplicas, number: 1 + i%2, spare: true})
		at += random(rng, time.Minute, 2*time.Minute)
	}
	return spare
}

func random(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

// editsFrom are the edits of one storm. Some come while what the last one asked for has just begun.
func editsFrom(rng *rand.Rand, at time.Duration) []event {
	var made []event
	for range 4 + rng.IntN(2) {
		made = append(made, drawn(rng, edits, at))
		if rng.IntN(2) == 0 {
			at += random(rng, 50*time.Millisecond, 20*time.Second)
		} else {
			at += random(rng, 20*time.Second, 8*time.Minute)
		}
	}
	return made
}

// drawn is one of several happenings at a time, or about it: a fault strikes where there is something to disturb.
func drawn(rng *rand.Rand, from []*happening, at time.Duration) event {
	e := event{at: at, happening: likely(rng, from), number: rng.IntN(1 << 16)}
	e.draws(rng, &e)
	return e
}

func likely(rng *rand.Rand, from []*happening) *happening {
	sum := 0
	for _, one := range from {
		sum += one.odds
	}
	n := rng.IntN(sum)
	for _, one := range from {
		if n -= one.odds; n < 0 {
			return one
		}
	}
	return from[0]
}
