// Package process starts processes that outlive their starter and ends them again, sure that they are the same.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/procfs"
)

// Marks in the environment of every process started here. By them a process is found whose ID was not recorded.
const (
	worldMark = "DROVER_DEV_WORLD"
	nameMark  = "DROVER_DEV_PROCESS"
)

// ID tells a process from every other one, before and after it: PIDs are used again, a pair with the start time is not.
type ID struct {
	PID int
	// StartTime is in clock ticks since the host's boot.
	StartTime uint64
}

// Command is a process to start.
type Command struct {
	// World is the folder whose process it is.
	World string
	Name  string
	Path  string
	Args  []string
	// Log is the file it writes to, made anew.
	Log string
}

// Start starts the process in a session of its own.
func (c Command) Start() (ID, error) {
	if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
		return ID{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	log, err := os.Create(c.Log)
	if err != nil {
		return ID{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return ID{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer func() { _ = null.Close() }()
	// Whatever this program was started with, a lock that its caller holds for one, is not for what outlives it.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return ID{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	p, err := os.StartProcess(c.Path, append([]string{c.Path}, c.Args...), &os.ProcAttr{
		Dir:   c.World,
		Env:   append(os.Environ(), worldMark+"="+c.World, nameMark+"="+c.Name),
		Files: []*os.File{null, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return ID{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	// Reap it if it ends while this program runs, or it would look alive.
	go func() { _, _ = p.Wait() }()
	stat, err := procfs.ReadStat(p.Pid)
	if procfs.IsGone(err) || stat.Ended() {
		return ID{}, fmt.Errorf("start %s: it ended at once; see %s", c.Name, c.Log)
	}
	if err != nil {
		return ID{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return ID{PID: p.Pid, StartTime: stat.StartTime}, nil
}

// Alive is true while the process runs. One that cannot be looked at is taken to.
func Alive(id ID) bool {
	stat, err := procfs.ReadStat(id.PID)
	if err != nil {
		return !procfs.IsGone(err)
	}
	return !stat.Ended() && stat.StartTime == id.StartTime
}

// Find returns the processes that world started under that name, and whose IDs are not known; all of the world's
// for an empty name.
func Find(world, name string) []ID {
	var found []ID
	for _, pid := range PIDs() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || pid == os.Getpid() {
			continue
		}
		vars := bytes.Split(env, []byte{0})
		if !contains(vars, worldMark+"="+world) || (name != "" && !contains(vars, nameMark+"="+name)) {
			continue
		}
		if stat, err := procfs.ReadStat(pid); err == nil && !stat.Ended() {
			found = append(found, ID{PID: pid, StartTime: stat.StartTime})
		}
	}
	return found
}

// Stop ends the process: SIGTERM, and SIGKILL after grace. It returns an error if the process is still there a
// while after that, or when the context ends.
func Stop(ctx context.Context, id ID, grace time.Duration) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop process %d: %w", id.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The descriptor is open: from here on the PID cannot be used for another process.
	if !Alive(id) {
		return nil
	}
	for _, step := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{unix.SIGTERM, grace}, {unix.SIGKILL, 10 * time.Second}} {
		if err := unix.PidfdSendSignal(fd, step.signal, nil, 0); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("stop process %d: %w", id.PID, err)
		}
		if waitEnd(ctx, id, step.wait) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop process %d: no longer waited for its end after %s: %w", id.PID, unix.SignalName(step.signal), ctx.Err())
		}
	}
	return fmt.Errorf("stop process %d: it is still there after SIGKILL", id.PID)
}

func waitEnd(ctx context.Context, id ID, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for Alive(id) {
		select {
		case <-ctx.Done():
			return !Alive(id)
		case <-tick.C:
		}
	}
	return true
}

// PIDs are all processes that can be seen.
func PIDs() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func contains(vars [][]byte, want string) bool {
	for _, v := range vars {
		if string(v) == want {
			return true
		}
	}
	return false
}
