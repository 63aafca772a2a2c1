package health

import (
	"fmt"
	"time"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// defaultTolerance is how long a process may not answer at all before it is restarted. A machine that is busy answers late,
	// but these questions ask for next to no work.
	defaultTolerance = 20 * time.Second
	// maxTolerance bounds what the tolerance is doubled to.
	maxTolerance = 30 * time.Minute
	// toleranceJitter is the share of it that chance adds, so that nodes whose processes hang together, as on a storage that
	// stalls, do not restart them together.
	toleranceJitter = 0.2
	// leastUnanswered is how many questions in a row a process must have left unanswered: one may be late because it was the
	// agent that got no processor's time.
	leastUnanswered = 3
	// startUpFor is how long a process may take to get ready.
	startUpFor = 5 * time.Minute
	// calmFor is the least time after which a process that hangs does so for the first time again.
	calmFor = 10 * time.Minute
)

// Life is all that is known of whether a process answers at all.
type Life struct {
	// Component is the process as the supervisor sees it, nil when there is none.
	Component *fleetv1.ComponentStatus
	// Tolerance is how long it may be silent the first time.
	Tolerance time.Duration
	// Silent is since when it has not answered, zero while it does, and Unanswered to how many questions.
	Silent     time.Time
	Unanswered int
	// Hangs is how often in a row it was restarted because it hung, Hung when the last time.
	Hangs int
	Hung  time.Time
	// Chance is in [0, 1), for jitter.
	Chance float64
	Now    time.Time
}

// Hang is a process that is to be restarted because it does not answer.
type Hang struct {
	Component string
	PID       int32
	// InARow counts this one and those before it that calm did not part.
	InARow  int
	Message string
}

// Hang is nil while the process is to be left alone: it answers, is not expected to yet, or is still tolerated. Each time in a
// row it is tolerated for twice as long as the time before, as a machine that is just overloaded is not helped by a restart.
func (l *Life) Hang() *Hang {
	silence := l.Now.Sub(l.Silent)
	tolerance := l.tolerance(l.before())
	if !l.doubted() || l.Unanswered < leastUnanswered || silence < tolerance+time.Duration(toleranceJitter*l.Chance*float64(tolerance)) {
		return nil
	}
	h := &Hang{Component: l.Component.Name, PID: *l.Component.PID, InARow: l.before() + 1}
	h.Message = fmt.Sprintf("%s did not answer for %s, to %d questions in a row", h.Component, silence.Round(time.Second), l.Unanswered)
	if h.InARow > 1 {
		h.Message += fmt.Sprintf("; it is the restart number %d in a row for that, and the next is made after %s at the earliest: see whether the machine is overloaded",
			h.InARow, l.tolerance(h.InARow))
	}
	return h
}

// Notice is what the condition of a process that does not answer says of what becomes of it. It is the same until that happens.
func (l *Life) Notice() string {
	if !l.doubted() {
		return ""
	}
	before := l.before()
	if before == 0 {
		return fmt.Sprintf("it is restarted when that has lasted %s", l.tolerance(before))
	}
	return fmt.Sprintf("it was restarted for that %d times in a row, and is again when that has lasted %s: see whether the machine is overloaded",
		before, l.tolerance(before))
}

// doubted says whether the process is silent and should not be.
func (l *Life) doubted() bool {
	if l.Component == nil || l.Component.PID == nil || l.Silent.IsZero() {
		return false
	}
	switch l.Component.State {
	case fleetv1.ComponentRunning:
		return true
	case fleetv1.ComponentStarting: // which one that was adopted is, too, until it has answered
		return l.Now.Sub(l.Component.StartedAt.Time) >= startUpFor
	default:
		return false
	}
}

// before is how often it hung in a row before this.
func (l *Life) before() int {
	if l.Silent.Sub(l.Hung) >= max(calmFor, 2*l.tolerance(l.Hangs)) {
		return 0
	}
	return l.Hangs
}

// tolerance is how long a process may be silent that hung a number of times in a row before.
func (l *Life) tolerance(hangs int) time.Duration {
	t := l.Tolerance
	for range hangs {
		if t *= 2; t >= maxTolerance {
			return maxTolerance
		}
	}
	return t
}
