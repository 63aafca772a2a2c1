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
		made := editsFrom(rng, start)
		story = append(story, made...)
		for range 9 + rng.IntN(6) {
			story = append(story, drawn(rng, faults, made[rng.IntN(len(made))].at))
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
	var made []event
	for range 4 + rng.IntN(3) {
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
