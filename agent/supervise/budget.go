package supervise

import (
	"fmt"
	"strings"
	"time"
)

// Budget bounds how often a process is started anew to mend it, whatever for: because it ended, because it hung, or because it
// had lost what it keeps. What restarts did not mend by then they will hardly mend: they go on slowly, and somebody else is to
// be told.
type Budget struct {
	// Repairs is how many are made as they are needed. Default: 10.
	Repairs int
	// Window is the time in which they are counted. Default: 3 h.
	Window time.Duration
	// Every is the least time between two when the budget is spent. Default: 5 min.
	Every time.Duration
	// Peace is how long none must have been needed for the budget to be whole again. It is longer than a process that hangs is
	// ever left alone. Default: 1 h.
	Peace time.Duration
}

func (b Budget) withDefaults() Budget {
	if b.Repairs == 0 {
		b.Repairs = 10
	}
	if b.Window == 0 {
		b.Window = 3 * time.Hour
	}
	if b.Every == 0 {
		b.Every = 5 * time.Minute
	}
	if b.Peace == 0 {
		b.Peace = time.Hour
	}
	return b
}

// repair is a restart that was to mend something.
type repair struct {
	At  time.Time   `json:"at"`
	For repairCause `json:"for"`
}

type repairCause string

const (
	afterEnd  repairCause = "End"
	afterHang repairCause = "Hang"
	afterLoss repairCause = "Loss"
)

// maxRepairs bounds the repairs that are kept.
const maxRepairs = 100

// recent are the repairs that count, the oldest first.
func (b Budget) recent(all []repair, now time.Time) []repair {
	if len(all) == 0 || now.Sub(all[len(all)-1].At) >= b.Peace {
		return nil
	}
	for i := range all {
		if now.Sub(all[i].At) < b.Window {
			return all[i:]
		}
	}
	return nil
}

// add is the list with one more repair, and without those that count no more.
func (b Budget) add(all []repair, now time.Time, cause repairCause) []repair {
	recent := b.recent(all, now)
	recent = recent[max(0, len(recent)-maxRepairs+1):]
	return append(append([]repair{}, recent...), repair{At: now, For: cause})
}

// wait is how long the next repair must wait; no clock that is set makes it longer than it ever is.
func (b Budget) wait(all []repair, now time.Time) time.Duration {
	recent := b.recent(all, now)
	if len(recent) < b.Repairs {
		return 0
	}
	return min(max(0, recent[len(recent)-1].At.Add(b.Every).Sub(now)), b.Every)
}

// told is what there is to say of a budget that is spent, empty while it is not. It changes with each repair only.
func (b Budget) told(all []repair, now time.Time) string {
	recent := b.recent(all, now)
	if len(recent) < b.Repairs {
		return ""
	}
	counts := map[repairCause]int{}
	for _, r := range recent {
		counts[r.For]++
	}
	var causes []string
	for _, c := range []struct {
		cause repairCause
		text  string
	}{{afterEnd, "after an end"}, {afterHang, "after a hang"}, {afterLoss, "for what it had lost"}} {
		if n := counts[c.cause]; n > 0 {
			causes = append(causes, fmt.Sprintf("%d %s", n, c.text))
		}
	}
	took := recent[len(recent)-1].At.Sub(recent[0].At).Round(time.Second)
	return fmt.Sprintf("%d restarts within %s did not mend it (%s), so it is restarted once in %s at most until none was needed for %s",
		len(recent), took, strings.Join(causes, ", "), short(b.Every), short(b.Peace))
}

// short is a duration without the units that are zero.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Exhausted says that restarts did not mend a process: how many there were, in what time and what for. It is empty while they
// may.
func (s *Supervisor) Exhausted(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[name]
	if u == nil || u.want == nil || u.want.Digest() != u.record.Digest {
		return ""
	}
	return s.opts.Budget.told(u.record.Repairs, s.opts.Clock.Now())
}

// RepairWait is how long a process is to be left alone before it is restarted again to mend it, zero for not at all.
func (s *Supervisor) RepairWait(name string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		return s.opts.Budget.wait(u.record.Repairs, s.opts.Clock.Now())
	}
	return 0
}

// Hurry has a process that waits to be started again started at once: what it needs is back. How often it ended is not
// forgotten.
func (s *Supervisor) Hurry(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[name]
	if u == nil || u.want == nil || u.record.Running {
		return
	}
	u.hurried = true
	if u.interrupt != nil {
		u.interrupt()
	}
}
