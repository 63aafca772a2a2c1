// Package procfs reads what the kernel tells of a process in /proc/<pid>/stat, and of itself.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in the file: USER_HZ is 100 on every architecture that Drover runs on.
const tick = 10 * time.Millisecond

// Stat is a part of what proc_pid_stat(5) lists.
type Stat struct {
	// Parent is the process that started this one, or that got it when that one ended.
	Parent int
	// StartTime is in clock ticks since the host's boot. It tells the process from a later one with the same PID.
	StartTime uint64
	// CPU is the time in user and kernel mode, down to 10 ms.
	CPU time.Duration

	state string
}

// Ended says that the process runs no more, and only waits for its parent to ask for its exit code.
func (s Stat) Ended() bool { return s.state == "Z" || s.state == "X" }

// SinceBoot is when the process started, since the host's boot, down to 10 ms.
func (s Stat) SinceBoot() time.Duration { return time.Duration(s.StartTime) * tick }

// ReadStat reads it of a process. See IsGone for what an error means.
func ReadStat(pid int) (Stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	s, err := parse(data)
	if err != nil {
		return Stat{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return s, nil
}

// IsGone says of an error that there is no such process. Any other, such as too many open files or too little memory, says
// nothing of the process: to take it for gone would be to start a second one beside it, or to leave it running.
func IsGone(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) }

// parse counts the fields from the end of the second, the name in parentheses, which may hold anything, spaces and
// parentheses too.
func parse(line []byte) (Stat, error) {
	end := bytes.LastIndexByte(line, ')')
	fields := strings.Fields(string(line[end+1:]))
	if end < 0 || len(fields) < 20 {
		return Stat{}, fmt.Errorf("stat %q is cut short", line)
	}
	var parent, user, system, start uint64
	for field, number := range map[int]*uint64{4: &parent, 14: &user, 15: &system, 22: &start} {
		n, err := strconv.ParseUint(fields[field-3], 10, 64)
		if err != nil {
			return Stat{}, fmt.Errorf("stat %q: field %d: %w", line, field, err)
		}
		*number = n
	}
	return Stat{Parent: int(parent), StartTime: start, CPU: time.Duration(user+system) * tick, state: fields[0]}, nil
}
