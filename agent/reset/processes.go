package reset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// UnitPath is the systemd unit that `drover-agent install` writes.
const UnitPath = "/etc/systemd/system/drover-agent.service"

// LockName is the file in the run directory that a running agent holds a lock on, with its PID in it.
const LockName = "agent.lock"

// stopService takes the agent out of systemd's hands, where `drover-agent install` put it.
func (r *resetter) stopService(ctx context.Context) error {
	if _, err := os.Stat(UnitPath); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "systemctl", "disable", "--now", filepath.Base(UnitPath)).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl disable: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Remove(UnitPath); err != nil {
		return err
	}
	r.say("Removed %s", UnitPath)
	return nil
}

// lock ends a running agent, and keeps another from starting until the lock it returns is closed: whatever started the
// agent may start it again at once.
func (r *resetter) lock(ctx context.Context) (*os.File, error) {
	if err := os.MkdirAll(r.RunDir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(r.RunDir, LockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		err = r.stopAgent(ctx, file)
	}
	if err == nil {
		err = file.Truncate(0) // the process it names is no agent that another reset should stop
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// stopAgent ends the agent that holds a lock, and any that is started in its place, and takes the lock.
func (r *resetter) stopAgent(ctx context.Context, file *os.File) error {
	var pid int
	var failed error
	err := until(ctx, func() bool {
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return true
		}
		var other int
		if other, failed = holder(file.Name()); failed == nil && other != 0 && other != pid {
			pid, failed = other, terminate(other)
		}
		return failed != nil
	})
	switch {
	case failed != nil:
		return failed
	case err != nil && pid == 0:
		return fmt.Errorf("another reset holds %s: %w", file.Name(), err)
	case err != nil:
		return fmt.Errorf("the agent (process %d) did not end: %w; stop whatever starts it again", pid, err)
	case pid != 0:
		r.say("Stopped the agent (process %d)", pid)
	}
	return nil
}

// holder is the process that holds the lock, 0 while an agent is about to write it there and for another reset.
func holder(path string) (int, error) {
	content, err := os.ReadFile(path)
	text := strings.TrimSpace(string(content))
	if err != nil || text == "" {
		return 0, err
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("an agent runs, and %s does not say as which process: stop it", path)
	}
	return pid, nil
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
	runs := func() bool { return record.PID > 1 && startTime(record.PID) == record.StartTime }
	if !runs() {
		return nil
	}
	if err := terminate(record.PID); err != nil {
		return err
	}
	if err := until(ctx, func() bool { return !runs() }); err != nil {
		return err
	}
	r.say("Stopped the %s (process %d)", name, record.PID)
	return nil
}

// startTime is field 22 of /proc/<pid>/stat, 0 for a process that is gone or a zombie.
func startTime(pid int) uint64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return 0
	}
	start, _ := strconv.ParseUint(fields[19], 10, 64)
	return start
}

// until polls for something no event tells of, within the time processes get to stop.
func until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
