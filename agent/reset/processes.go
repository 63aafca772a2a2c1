package reset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/internal/procfs"
)

// stopService has systemd end the agent, if it is systemd that runs it.
func (r *resetter) stopService(ctx context.Context) error { return service.Disable(ctx) }

// removeService takes the agent and its components out of systemd's hands, where `drover-agent install` put them.
func (r *resetter) removeService(ctx context.Context) error {
	removed, err := service.Remove(ctx)
	for _, path := range removed {
		r.say("Removed %s", path)
	}
	return err
}

// endPodSlices ends what systemd has of the pods. Those of another kubelet are left alone.
func (r *resetter) endPodSlices(ctx context.Context) error {
	if !r.isOurs(r.Paths.KubeletDir) {
		return nil
	}
	return service.StopPodSlices(ctx)
}

// lock ends a running agent, and keeps another from starting until the lock it returns is closed.
func (r *resetter) lock(ctx context.Context, as func(context.Context, string, time.Duration) (*os.File, int, error)) (*os.File, error) {
	lock, stopped, err := as(ctx, r.RunDir, stopTimeout)
	if stopped != 0 {
		r.say("Stopped the agent (process %d)", stopped)
	}
	return lock, err
}

func terminate(pid int) error {
	if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	return nil
}

// stopProcess ends one component by the supervisor's record of it, if that very process still runs.
func (r *resetter) stopProcess(ctx context.Context, name string) error {
	data, err := os.ReadFile(filepath.Join(r.RunDir, "processes", name+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var record struct {
		PID       int    `json:"pid"`
		StartTime uint64 `json:"startTime"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return fmt.Errorf("read the record of %s: %w", name, err)
	}
	ended := func() (bool, error) {
		if record.PID <= 1 {
			return true, nil
		}
		start, err := startTime(record.PID)
		return start != record.StartTime, err
	}
	if done, err := ended(); done || err != nil {
		return err
	}
	if err := terminate(record.PID); err != nil {
		return err
	}
	if err := until(ctx, ended); err != nil {
		return err
	}
	r.say("Stopped the %s (process %d)", name, record.PID)
	return nil
}

// startTime tells a process from a later one with its number, 0 for one that is gone or has ended.
func startTime(pid int) (uint64, error) {
	stat, err := procfs.ReadStat(pid)
	if procfs.IsGone(err) || stat.Ended() {
		return 0, nil
	}
	return stat.StartTime, err
}

// until polls for something no event tells of, within the time processes get to stop.
func until(ctx context.Context, done func() (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, stopTimeout, true, func(context.Context) (bool, error) { return done() })
}
