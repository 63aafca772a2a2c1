package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
)

// LockName is the file in the run directory that a running agent holds a lock on, with its PID in it.
const LockName = "agent.lock"

// ErrReset says that a reset is at work, which ends all that runs.
var ErrReset = errors.New("a reset is at work")

// resetMark stands in the lock in place of an agent's PID while a reset holds it.
const resetMark = "reset"

// lockInterval is between two tries to take the lock of an agent that is about to end: no event tells of it.
const lockInterval = 10 * time.Millisecond

// Lock makes sure that one agent runs, and tells a reset which. It holds until the function it returns is called.
func Lock(runDir string) (unlock func(), err error) {
	file, err := openLock(runDir)
	if err != nil {
		return nil, err
	}
	if err := holdAsAgent(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

func openLock(runDir string) (*os.File, error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(runDir, LockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the agent's lock: %w", err)
	}
	return file, nil
}

func holdAsAgent(file *os.File) error {
	if !tryLock(file) {
		return fmt.Errorf("another agent, or a reset, holds %s: stop it first", file.Name())
	}
	if !isAt(file, file.Name()) {
		return fmt.Errorf("a reset has just removed %s: start the agent again", file.Name())
	}
	if err := file.Truncate(0); err != nil {
		return fmt.Errorf("write the agent's lock: %w", err)
	}
	if _, err := fmt.Fprintln(file, os.Getpid()); err != nil {
		return fmt.Errorf("write the agent's lock: %w", err)
	}
	return nil
}

func tryLock(file *os.File) bool {
	return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// isAt says whether a path still names an open file.
func isAt(file *os.File, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	ours, err := file.Stat()
	return err == nil && os.SameFile(ours, there)
}

// LockForHalt ends a running agent, whose PID it returns (0 when none ran), and keeps another from starting until the lock is
// closed: whatever started the agent may start it again at once. It waits as long as patience, but for no reset: that waits
// for systemd, which waits for a halt. There it returns ErrReset.
func LockForHalt(ctx context.Context, runDir string, patience time.Duration) (lock *os.File, stopped int, err error) {
	return lockAs(ctx, runDir, "", patience)
}

// LockForReset is LockForHalt for a reset, which does wait for another one.
func LockForReset(ctx context.Context, runDir string, patience time.Duration) (lock *os.File, stopped int, err error) {
	return lockAs(ctx, runDir, resetMark, patience)
}

func lockAs(ctx context.Context, runDir, mark string, patience time.Duration) (lock *os.File, stopped int, err error) {
	file, err := openLock(runDir)
	if err != nil {
		return nil, 0, err
	}
	if !tryLock(file) {
		stopped, err = stopAgent(ctx, file, patience, mark == resetMark)
	}
	if err == nil {
		err = file.Truncate(0) // the process it names is no agent that another reset should stop
	}
	if err == nil {
		_, err = file.WriteString(mark)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, stopped, nil
}

// stopAgent ends the agent that holds a lock, and any that is started in its place, and takes the lock.
func stopAgent(ctx context.Context, file *os.File, patience time.Duration, awaitReset bool) (pid int, err error) {
	var failed error
	err = wait.PollUntilContextTimeout(ctx, lockInterval, patience, true, func(context.Context) (bool, error) {
		if tryLock(file) {
			return true, nil
		}
		var other int
		if other, failed = holder(file.Name()); errors.Is(failed, ErrReset) && awaitReset {
			failed = nil
		}
		if failed == nil && other != 0 && other != pid {
			pid, failed = other, terminate(other)
		}
		return false, failed
	})
	switch {
	case failed != nil:
		return 0, failed
	case err != nil && pid == 0:
		return 0, fmt.Errorf("another reset, or a halt, holds %s: %w", file.Name(), err)
	case err != nil:
		return 0, fmt.Errorf("the agent (process %d) did not end: %w; stop whatever starts it again", pid, err)
	}
	return pid, nil
}

// holder is the process that holds the lock, 0 while an agent is about to write it there and for a halt. For a reset the error
// is ErrReset.
func holder(path string) (int, error) {
	content, err := os.ReadFile(path)
	text := strings.TrimSpace(string(content))
	if err != nil || text == "" {
		return 0, err
	}
	if text == resetMark {
		return 0, ErrReset
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("an agent runs, and %s does not say as which process: stop it", path)
	}
	return pid, nil
}

// Agent is the process that runs as the agent, 0 for none. It is looked for without the lock, which an agent that is about to
// start would then not get.
func Agent(runDir string) int {
	path := filepath.Join(runDir, LockName)
	pid, err := holder(path)
	if err != nil || pid == 0 {
		return 0
	}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is valid
	for _, file := range files {
		if there, err := os.Readlink(file); err == nil && there == path {
			return pid
		}
	}
	return 0
}

func terminate(pid int) error {
	if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	return nil
}
