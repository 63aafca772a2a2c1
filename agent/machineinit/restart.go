package machineinit

import (
	"time"
)

// The agent's restarts.
const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 30 * time.Second
	// settled is how long an agent must have run for its end to be no failed start.
	settled = 10 * time.Second
	// startsBeforeFallback is how many starts in a row may fail before the other binary has its turn.
	startsBeforeFallback = 5
)

// restarts decides what to start after the agent ended, and when.
type restarts struct {
	failed   int
	delay    time.Duration
	previous bool
}

// next is the delay before the agent's next start, and whether that is of the previous binary. ran is how long the
// one that ended had run, clean whether it ended by itself with code 0, hasPrevious whether there is a previous one.
func (r *restarts) next(ran time.Duration, clean, hasPrevious bool) (time.Duration, bool) {
	if clean || ran >= settled {
		r.failed, r.delay = 0, firstDelay
		if clean {
			// It made way, for a new binary most of all: that one gets its chance.
			r.previous = false
		}
		return r.delay, r.previous
	}
	r.failed++
	r.delay = min(max(2*r.delay, firstDelay), lastDelay)
	if r.failed >= startsBeforeFallback {
		r.failed, r.delay = 0, firstDelay
		r.previous = !r.previous && hasPrevious
		if !hasPrevious {
			r.delay = lastDelay
		}
	}
	return r.delay, r.previous
}
