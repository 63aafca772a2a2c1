package supervise

import (
	"context"
	"slices"
	"time"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// unit is the life of one process name: one goroutine goes through run. The fields are the supervisor's mutex's.
type unit struct {
	supervisor *Supervisor
	name       string

	want      *Process // nil: it is to be stopped and forgotten
	hung      *hang    // the process that runs does not answer; nil for nothing is known of that
	interrupt context.CancelFunc
	state     fleetv1.ComponentState
	record    record
	readyAt   time.Time // zero until the process was ready once
	notReady  string    // why it is not, by its last answer
	hurried   bool      // the next start does not wait
	excused   bool      // it ended for want of something that no restart brings
}

// hang is what is taken down of a process that is ended because it does not answer.
type hang struct {
	inARow  int
	message string
}

// setWantLocked changes what is wanted, and interrupts the goroutine if that makes a difference: otherwise it would
// begin its backoff anew each time.
func (u *unit) setWantLocked(want *Process) {
	same := u.want != nil && want != nil && u.want.Digest() == want.Digest() && slices.Equal(u.want.DependsOn, want.DependsOn) &&
		slices.Equal(u.want.After, want.After)
	u.want = want
	if !same && u.interrupt != nil {
		u.interrupt()
	}
}

// run is the goroutine: each step brings the process closer to what is wanted, or waits for a reason to do more. A
// step's context ends when Apply changes what is wanted.
func (u *unit) run(ctx context.Context) {
	h := u.adopt(ctx)
	defer func() {
		if h != nil {
			h.close()
		}
	}()
	for {
		want, step, cancel := u.begin(ctx)
		if ctx.Err() != nil {
			cancel()
			return
		}
		switch {
		case h != nil && u.isOutdated():
			h = u.replace(ctx, want, h)
		case h != nil && u.isHung():
			h = u.endHung(ctx, h)
		case want == nil:
			if u.forget() {
				cancel()
				return
			}
		case h == nil:
			h = u.start(step, want)
		default:
			h = u.watch(step, want, h)
		}
		cancel()
	}
}

func (u *unit) begin(ctx context.Context) (*Process, context.Context, context.CancelFunc) {
	step, cancel := context.WithCancel(ctx)
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	u.interrupt = cancel
	return u.want, step, cancel
}

// update changes the unit's fields and tells everyone who waits for a change.
func (u *unit) update(change func()) {
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	change()
	u.supervisor.changedLocked()
}

// save writes the record. A node without records still works; only adoption is lost. Nobody changes it meanwhile: what was written of
// that, a restart that is asked for, say, would be written over.
func (u *unit) save() {
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	if err := u.supervisor.store.write(u.record); err != nil {
		u.supervisor.opts.Log.Error(err, "Failed to record a process, so the next agent will not adopt it", "component", u.name)
	}
}

// adopt takes hold of the process that an earlier supervisor started, if it runs. As long as nobody knows whether it does,
// it looks again: another one beside it would be worse than none.
func (u *unit) adopt(ctx context.Context) *handle {
	u.supervisor.mu.Lock()
	rec := u.record
	u.supervisor.mu.Unlock()
	log := u.supervisor.opts.Log.WithValues("component", u.name)
	h, err := rec.find()
	for ; err != nil && ctx.Err() == nil; h, err = rec.find() {
		log.Error(err, "Failed to find out whether a process runs", "pid", rec.PID)
		u.pause(ctx)
	}
	switch {
	case err != nil:
	case h != nil:
		log.Info("Adopted a running process", "pid", rec.PID)
		rec.Running = true
		u.update(func() {
			rec.Replace, rec.Mend, rec.Repairs = u.record.Replace, u.record.Mend, u.record.Repairs // a restart may have been asked for meanwhile
			u.record, u.state = rec, fleetv1.ComponentStarting
		})
	case !rec.Running && rec.Failures > 0:
		u.update(func() { u.state = fleetv1.ComponentBackOff })
	case rec.Running:
		log.Info("Found that a process ended while no agent ran", "pid", rec.PID)
		u.ended(&fleetv1.ComponentExit{})
	}
	return h
}

// replace stops a process that is not wanted, or not as it is.
func (u *unit) replace(ctx context.Context, want *Process, h *handle) *handle {
	reason := u.reason(want)
	if !u.awaitDependents(ctx) {
		return h
	}
	u.supervisor.opts.Log.Info("Stopped a process", "component", u.name, "pid", h.pid, "reason", reason)
	if err := stopProcess(ctx, h, u.record.StopTimeout); err != nil {
		if ctx.Err() == nil {
			u.supervisor.opts.Log.Error(err, "Failed to stop a process", "component", u.name, "pid", h.pid)
			u.pause(ctx)
		}
		return h
	}
	h.close()
	u.update(func() {
		u.record.Running, u.record.Replace, u.record.Mend, u.hung = false, "", "", nil
		u.record.Failures = 0
		u.readyAt = time.Time{}
		u.state = fleetv1.ComponentStopped
	})
	u.save()
	return nil
}

func (u *unit) isHung() bool {
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	return u.hung != nil
}

// endHung ends a process that does not answer. Nobody waits long for it to end in good order, or for those that depend on it.
func (u *unit) endHung(ctx context.Context, h *handle) *handle {
	s := u.supervisor
	s.opts.Log.Info("Ended a process that hangs", "component", u.name, "pid", h.pid, "reason", u.hung.message)
	if err := endProcess(ctx, h, min(hungStopTimeout, u.record.StopTimeout)); err != nil {
		if ctx.Err() == nil {
			s.opts.Log.Error(err, "Failed to end a process that hangs", "component", u.name, "pid", h.pid)
			u.pause(ctx)
		}
		return h
	}
	u.ended(exitOf(h))
	h.close()
	return nil
}

// forget drops the unit unless it is wanted again by now.
func (u *unit) forget() bool {
	s := u.supervisor
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.want != nil {
		return false
	}
	if err := s.store.remove(u.name); err != nil {
		s.opts.Log.Error(err, "Failed to forget a process", "component", u.name)
	}
	delete(s.units, u.name)
	s.changedLocked()
	return true
}

// start waits for the process's dependencies and its backoff, then starts it.
func (u *unit) start(step context.Context, want *Process) *handle {
	s := u.supervisor
	if want.Digest() != u.record.Digest {
		u.update(func() { u.record.Failures, u.record.Repairs = 0, nil }) // they were another configuration's
	}
	if !u.awaitBackoff(step) || !u.awaitDependencies(step, want) {
		return nil
	}
	rec := u.record
	rec.Name, rec.PID, rec.StartTime, rec.Exe, rec.Argv = u.name, 0, 0, want.executable(), want.argv()
	if want.Digest() != rec.Digest {
		rec.Hangs = 0
	}
	rec.Digest, rec.Running, rec.LogFile = want.Digest(), true, want.LogFile
	rec.DependsOn, rec.StopTimeout = want.DependsOn, want.stopTimeout()
	rec.StartedAt = s.opts.Clock.Now()
	rec.ReadyAt = time.Time{}
	if rec.Failures > 0 {
		rec.Restarts++
		rec.Repairs = u.repaired(rec)
	}
	// A restart that was asked for while the process ended is made by this start.
	rec.Replace, rec.Mend = "", ""
	u.update(func() { u.record, u.readyAt, u.notReady, u.hurried = rec, time.Time{}, "", false })
	u.save()
	if want.Prepare != nil {
		if err := want.Prepare(); err != nil {
			s.opts.Log.Error(err, "Failed to prepare the start of a process", "component", u.name)
		}
	}
	h, offset, err := spawn(want)
	if err != nil {
		s.opts.Log.Error(err, "Failed to start a process", "component", u.name)
		u.ended(&fleetv1.ComponentExit{LogTail: tidyTail(err.Error())})
		return nil
	}
	img := h.image()
	u.update(func() {
		u.record.PID, u.record.LogOffset = h.pid, offset
		u.record.StartTime, u.record.Exe = img.start, img.exe
		u.state = fleetv1.ComponentStarting
	})
	u.save()
	s.opts.Log.Info("Started a process", "component", u.name, "pid", h.pid)
	return h
}

// pause keeps a step that failed for a reason outside of our hands from being tried again without a break.
func (u *unit) pause(ctx context.Context) {
	timer := u.supervisor.opts.Clock.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// awaitBackoff waits until it is time for the next start; false means that the step ended first.
func (u *unit) awaitBackoff(step context.Context) bool {
	s := u.supervisor
	delay := u.untilStart()
	if delay == 0 {
		return step.Err() == nil
	}
	timer := s.opts.Clock.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-step.Done():
		return false
	}
}

// untilStart is how long it is until the next start. What an earlier agent waited counts, but no clock that was set makes the
// wait longer than it is from the beginning.
func (u *unit) untilStart() time.Duration {
	s := u.supervisor
	s.mu.Lock()
	defer s.mu.Unlock()
	now, rec := s.opts.Clock.Now(), &u.record
	if u.hurried || rec.Failures == 0 {
		return 0
	}
	delay := s.opts.Backoff.delay(rec.Failures, s.opts.Chance())
	left := min(max(0, rec.EndedAt.Add(delay).Sub(now)), delay)
	return max(left, s.opts.Budget.wait(rec.Repairs, now))
}

// repaired are the repairs of a process that is started again after it ended.
func (u *unit) repaired(rec record) []repair {
	if u.excused || u.supervisor.opts.Excused(u.name) { // it may be back, which is what it is started for
		return rec.Repairs
	}
	cause := afterEnd
	if rec.LastExit != nil && rec.LastExit.Reason == fleetv1.ReasonHung {
		cause = afterHang
	}
	return u.supervisor.opts.Budget.add(rec.Repairs, u.supervisor.opts.Clock.Now(), cause)
}

// afterPatience is how long a process waits for those it is better started after.
const afterPatience = 3 * time.Second

// awaitDependencies waits until all that the process depends on is ready, and a while for those it comes after.
func (u *unit) awaitDependencies(step context.Context, want *Process) bool {
	s := u.supervisor
	patience := s.opts.Clock.NewTimer(afterPatience)
	defer patience.Stop()
	after := want.After
	for {
		s.mu.Lock()
		ready := s.readyLocked(want.DependsOn, false) && s.readyLocked(after, true)
		if !ready && u.state != fleetv1.ComponentWaiting {
			u.state = fleetv1.ComponentWaiting
			s.changedLocked()
		}
		changed := s.changed
		s.mu.Unlock()
		if ready {
			return step.Err() == nil
		}
		select {
		case <-changed:
		case <-patience.C():
			after = nil
		case <-step.Done():
			return false
		}
	}
}

// reason is why the process that runs is stopped.
func (u *unit) reason(want *Process) string {
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	switch {
	case want == nil:
		return "no longer wanted"
	case u.record.Replace != "":
		return u.record.Replace
	default:
		return "configuration changed"
	}
}

// outdatedLocked says whether the process that runs is to be stopped or replaced.
func (u *unit) outdatedLocked() bool {
	return u.record.Running && (u.want == nil || u.record.Replace != "" || u.want.Digest() != u.record.Digest)
}

func (u *unit) isOutdated() bool {
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	return u.outdatedLocked()
}

// awaitDependents waits, before the process is stopped, until those have ended that depend on it and are to be stopped or
// replaced as well; the others go on without it for a while. It is false when the process is to go on after all, or the
// context ended.
func (u *unit) awaitDependents(ctx context.Context) bool {
	s := u.supervisor
	for {
		s.mu.Lock()
		outdated, waits := u.outdatedLocked(), false
		for _, other := range s.units {
			waits = waits || slices.Contains(other.record.DependsOn, u.name) && other.outdatedLocked()
		}
		changed := s.changed
		s.mu.Unlock()
		if !outdated || !waits {
			return outdated
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// readyLocked says whether each of the processes is ready, and is the one that is wanted; absent is the answer for those that nobody wants.
func (s *Supervisor) readyLocked(names []string, absent bool) bool {
	for _, name := range names {
		other := s.units[name]
		if other == nil || other.want == nil {
			if !absent {
				return false
			}
		} else if other.state != fleetv1.ComponentRunning || other.outdatedLocked() {
			return false
		}
	}
	return true
}
