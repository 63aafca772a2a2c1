package supervise

import "time"

// Backoff says how long to wait before a process that ended is started again: hardly at all the first time, then
// twice as long each time.
type Backoff struct {
	// First is the delay after the first end. Default: 100 ms.
	First time.Duration
	// Base is the delay after the second end, doubled with each further one. Default: 500 ms.
	Base time.Duration
	// Max is the longest delay. Default: 30 s.
	Max time.Duration
	// ResetAfter is how long a process must have been ready for its next end to count as the first. Default: 30 s.
	ResetAfter time.Duration
	// Jitter is the share of a delay that is left to chance, so that nodes that failed together do not come back
	// together. Default: 0.2.
	Jitter float64
}

func (b Backoff) withDefaults() Backoff {
	defaults := Backoff{First: 100 * time.Millisecond, Base: 500 * time.Millisecond, Max: 30 * time.Second, ResetAfter: 30 * time.Second, Jitter: 0.2}
	if b.First == 0 {
		b.First = defaults.First
	}
	if b.Base == 0 {
		b.Base = defaults.Base
	}
	if b.Max == 0 {
		b.Max = defaults.Max
	}
	if b.ResetAfter == 0 {
		b.ResetAfter = defaults.ResetAfter
	}
	if b.Jitter == 0 {
		b.Jitter = defaults.Jitter
	}
	return b
}

// delay is the wait after the given number of ends in a row; chance is in [0, 1).
func (b Backoff) delay(failures int, chance float64) time.Duration {
	var d time.Duration
	switch {
	case failures <= 0:
		return 0
	case failures == 1:
		d = b.First
	default:
		d = b.Base
		for range failures - 2 {
			if d *= 2; d >= b.Max {
				break
			}
		}
	}
	d = min(d, b.Max)
	return d - time.Duration(float64(d)*b.Jitter*chance)
}
