package supervise

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// readyEvery is how often a process is asked at first whether it is ready: it decides how soon a node joins. From then on
	// it is asked when a tenth of the time that it has taken so far has passed, readySlowEvery at the latest: on a slow machine
	// the questions would take from the process the time that it needs to be ready.
	readyEvery     = 25 * time.Millisecond
	readySlowEvery = time.Second
	// notReadyAfter is how long after a start an answer is worth a line in the log; until then it is just early.
	notReadyAfter = time.Second
)

// watch waits for the process to end, or for the step to, and meanwhile for it to be ready.
func (u *unit) watch(step context.Context, want *Process, h *handle) *handle {
	var probing sync.WaitGroup
	alive, cancel := context.WithCancel(step)
	if u.readyAt.IsZero() {
		probing.Go(func() { u.awaitReady(alive, want) })
	}
	probing.Go(func() { u.awaitMend(alive) })
	err := h.wait(alive)
	cancel()
	probing.Wait()
	if step.Err() != nil {
		return h
	}
	if err != nil {
		u.supervisor.opts.Log.Error(err, "Failed to wait for a process", "component", u.name, "pid", h.pid)
		u.pause(step)
		return h
	}
	u.ended(exitOf(h))
	h.close()
	return nil
}

// awaitReady asks the process whether it is ready until it is.
func (u *unit) awaitReady(ctx context.Context, want *Process) {
	began := time.Now()
	log := notReadyLog{log: u.supervisor.opts.Log.WithValues("component", u.name), next: began.Add(notReadyAfter)}
	for want.Ready != nil {
		attempt, cancel := context.WithTimeout(ctx, want.readyTimeout())
		err := want.Ready(attempt)
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			u.answered(err)
			log.say(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(askAgain(time.Since(began))):
		}
	}
	if ctx.Err() != nil {
		return
	}
	first := false
	u.update(func() {
		u.readyAt = u.supervisor.opts.Clock.Now()
		if first = u.record.ReadyAt.IsZero(); first {
			u.record.ReadyAt = u.readyAt
		}
		u.notReady = ""
		u.state = fleetv1.ComponentRunning
	})
	if first {
		u.save()
	}
}

// awaitMend has the process replaced that is to be mended, when the budget of repairs allows it.
func (u *unit) awaitMend(ctx context.Context) {
	s := u.supervisor
	s.mu.Lock()
	reason, wait := u.record.Mend, s.opts.Budget.wait(u.record.Repairs, s.opts.Clock.Now())
	s.mu.Unlock()
	if reason == "" {
		return
	}
	timer := s.opts.Clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		s.Mend(u.name, reason) // which asks again, where the clock was set
	case <-ctx.Done():
	}
}

// askAgain is how long to wait with the next question to a process that was not ready for a while.
func askAgain(waited time.Duration) time.Duration {
	return min(max(waited/10, readyEvery), readySlowEvery)
}

// answered keeps why the process is not ready. Nobody is woken for it: answers follow each other quickly, and whoever
// looks at a process that is not ready looks again soon.
func (u *unit) answered(err error) {
	u.supervisor.mu.Lock()
	defer u.supervisor.mu.Unlock()
	u.notReady = err.Error()
}

// notReadyLog logs why a process is not ready when that has changed, and not more often than it is worth reading.
type notReadyLog struct {
	log  logr.Logger
	said string
	next time.Time
}

func (l *notReadyLog) say(err error) {
	now := time.Now()
	if err.Error() == l.said || now.Before(l.next) {
		return
	}
	l.said, l.next = err.Error(), now.Add(readySlowEvery)
	l.log.Info("Found a process not ready", "cause", l.said)
}

// ended takes down how a process ended, so that it is started again after its backoff.
func (u *unit) ended(exit *fleetv1.ComponentExit) {
	s := u.supervisor
	now := s.opts.Clock.Now()
	exit.Time = metav1.NewTime(now)
	if exit.LogTail == "" {
		exit.LogTail = logTail(u.record.LogFile, u.record.LogOffset)
	}
	excused := s.opts.Excused(u.name)
	u.update(func() {
		u.excused = excused
		if ready := u.record.ReadyAt; !ready.IsZero() && now.Sub(ready) >= s.opts.Backoff.ResetAfter {
			u.record.Failures = 0
		}
		u.record.Failures++
		u.record.EndedAt = now
		if u.hung != nil {
			exit.Reason, exit.Message = fleetv1.ReasonHung, u.hung.message
			u.record.Hangs, u.record.HungAt, u.hung = u.hung.inARow, now, nil
		}
		u.readyAt = time.Time{}
		u.state = fleetv1.ComponentBackOff
		u.record.Running = false
		u.record.LastExit = exit
	})
	u.save()
	s.opts.Log.Info("Saw a process end", "component", u.name, "pid", u.record.PID, "code", ptr.Deref(exit.Code, -1), "signal", exit.Signal)
}

// exitOf says how the process ended, as far as the kernel tells.
func exitOf(h *handle) *fleetv1.ComponentExit {
	status, known := h.exitStatus()
	return describeExit(status, known)
}

func describeExit(status syscall.WaitStatus, known bool) *fleetv1.ComponentExit {
	exit := &fleetv1.ComponentExit{}
	switch {
	case !known:
	case status.Signaled():
		exit.Signal = unix.SignalName(status.Signal())
	default:
		exit.Code = ptr.To(int32(status.ExitStatus()))
	}
	return exit
}
