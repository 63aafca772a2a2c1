package report

import "time"

const (
	// writeBurst and writeEvery are the write budget: in any hour writeBurst + 1h/writeEvery = 60 writes at most. The burst is what
	// joining takes, and the first news of several components that end one after the other.
	writeBurst = 30
	writeEvery = 2 * time.Minute
	// writePace is the time between two writes once half of the burst is spent, and half of that before: a component that ends and is
	// up again a moment later is one write then, and what is new is known within the second still.
	writePace = 700 * time.Millisecond
)

// budget is a bucket of writes.
type budget struct {
	burst int
	every time.Duration

	left   float64   // at the time of at
	at     time.Time // zero for full
	last   time.Time // of the writes
	paceBy time.Duration
}

func newBudget() *budget { return &budget{burst: writeBurst, every: writeEvery, paceBy: writePace} }

// has is what is left.
func (b *budget) has(now time.Time) float64 {
	if b.at.IsZero() {
		return float64(b.burst)
	}
	gained := float64(max(0, now.Sub(b.at))) / float64(b.every)
	return min(b.left+gained, float64(b.burst))
}

// wait is how long the next write must wait.
func (b *budget) wait(now time.Time) time.Duration {
	left := b.has(now)
	switch {
	case left < 1:
		return time.Duration((1-left)*float64(b.every)) + 1 // rounded up
	case b.last.IsZero():
		return 0
	}
	pace := b.paceBy
	if left >= float64(b.burst)/2 {
		pace /= 2
	}
	return min(max(0, b.last.Add(pace).Sub(now)), pace)
}

// spend takes a write out. Tries that failed are none; they are bounded by their own waits.
func (b *budget) spend(now time.Time) {
	b.left, b.at, b.last = b.has(now)-1, now, now
}
