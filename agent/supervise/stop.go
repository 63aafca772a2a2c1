package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// killTimeout is how long a process may take to end after SIGKILL; one that takes longer is stuck in the kernel.
const killTimeout = 5 * time.Second

// hungStopTimeout is how long a process that hangs gets to end after SIGTERM.
const hungStopTimeout = 2 * time.Second

// stopProcess ends a process: SIGTERM, and SIGKILL when it takes longer than timeout. It returns once it has ended
// and, where it is our child, has been reaped.
func stopProcess(ctx context.Context, h *handle, timeout time.Duration) error {
	err := endProcess(ctx, h, timeout)
	if err == nil {
		h.exitStatus()
	}
	return err
}

// endProcess is stopProcess without the reaping, which tells how it ended.
func endProcess(ctx context.Context, h *handle, timeout time.Duration) error {
	if timeout <= 0 {
		timeout = DefaultStopTimeout
	}
	for _, try := range []struct {
		signal  syscall.Signal
		timeout time.Duration
	}{{syscall.SIGTERM, timeout}, {syscall.SIGKILL, killTimeout}} {
		if err := h.signal(try.signal); err != nil {
			return err
		}
		deadline, cancel := context.WithTimeout(ctx, try.timeout)
		err := h.wait(deadline)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("process %d is still there %s after SIGKILL", h.pid, killTimeout)
}

// StopAll ends every process, also those that only a record tells of, each before the ones it depends on. Nothing is
// started any more afterwards.
func (s *Supervisor) StopAll(ctx context.Context) error {
	s.mu.Lock()
	s.halted = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.loops.Wait()
	records, err := s.store.load()
	if err != nil {
		return err
	}
	depends := make(map[string][]string, len(records))
	for name, rec := range records {
		depends[name] = rec.DependsOn
	}
	order, err := layers(depends)
	if err != nil {
		return err
	}
	slices.Reverse(order)
	for _, layer := range order {
		errs := make([]error, len(layer))
		var stopping sync.WaitGroup
		for i, name := range layer {
			stopping.Go(func() { errs[i] = s.stopRecorded(ctx, records[name]) })
		}
		stopping.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// stopRecorded ends the process of a record and removes the record.
func (s *Supervisor) stopRecorded(ctx context.Context, rec record) error {
	h, err := rec.find()
	if err != nil {
		return fmt.Errorf("find %s: %w", rec.Name, err)
	}
	if h != nil {
		defer h.close()
		if err := stopProcess(ctx, h, rec.StopTimeout); err != nil {
			return fmt.Errorf("stop %s: %w", rec.Name, err)
		}
		s.opts.Log.Info("Stopped a process", "component", rec.Name, "pid", rec.PID, "reason", "everything stops")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[rec.Name]; u != nil {
		u.state, u.record.Running = fleetv1.ComponentStopped, false
	}
	s.changedLocked()
	return s.store.remove(rec.Name)
}
