package budget

import (
	"time"

	"github.com/robfig/cron/v3"
)

// horizon is how far ahead the end of windows is looked for that follow on each other without a gap.
const horizon = 24 * time.Hour

// window is a span of time that begins again and again.
type window struct {
	schedule cron.Schedule
	zone     *time.Location
	length   time.Duration
}

// next is the first beginning after a moment; zero when there is none in the next five years.
func (w *window) next(after time.Time) time.Time {
	shown := wall(after, w.zone)
	for {
		if shown = w.schedule.Next(shown); shown.IsZero() {
			return time.Time{}
		}
		if begins := moment(shown, w.zone); begins.After(after) {
			return begins
		}
	}
}

// open says whether the window is, and until when: its end is no part of it. One that begins anew before it has ended, or when it
// does, goes on, as far as the horizon.
func (w *window) open(now time.Time) (until time.Time, open bool) {
	begins := w.next(now.Add(-w.length))
	if begins.IsZero() || begins.After(now) {
		return time.Time{}, false
	}
	for until = begins.Add(w.length); until.Before(now.Add(horizon)); until = begins.Add(w.length) {
		next := w.next(begins)
		if next.IsZero() || next.After(until) {
			break
		}
		begins = next
	}
	return until, true
}
