package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc/<pid>/stat: USER_HZ is 100 on every architecture that Drover runs on.
const tick = 10 * time.Millisecond

// Stat is a part of /proc/<pid>/stat (proc_pid_stat(5)).
type Stat struct {
	Parent int
	// CPU is the time in user and kernel mode.
	CPU time.Duration
	// Start is when the process started, since the host's boot, down to 10 ms.
	Start time.Duration
}

// ReadStat reads a process's.
func ReadStat(pid int) (Stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return parseStat(string(data))
}

// parseStat takes care of a command that has spaces and parentheses in its name.
func parseStat(line string) (Stat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return Stat{}, fmt.Errorf("read a process's stat %q: too short", line)
	}
	var numbers [4]int64
	for i, field := range []int{1, 11, 12, 19} { // ppid, utime, stime, starttime
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return Stat{}, fmt.Errorf("read a process's stat: %w", err)
		}
		numbers[i] = n
	}
	return Stat{Parent: int(numbers[0]), CPU: time.Duration(numbers[1]+numbers[2]) * tick, Start: time.Duration(numbers[3]) * tick}, nil
}

// SinceBoot is the time since the host's boot, on the clock that Stat.Start is on.
func SinceBoot() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// Below returns the processes that root started, and those that they started, as far as they still run: their IDs by
// the base name of the program and its first argument if that is no flag ("containerd", "drover-agent run").
func Below(root int) (map[string]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	parents := map[int]int{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s, err := ReadStat(pid); err == nil { // else it just ended
				parents[pid] = s.Parent
			}
		}
	}
	found := map[string]int{}
	for pid := range parents {
		if descends(parents, pid, root) {
			if name := command(pid); name != "" {
				found[name] = pid
			}
		}
	}
	return found, nil
}

func descends(parents map[int]int, pid, root int) bool {
	for pid = parents[pid]; pid > 1; pid = parents[pid] {
		if pid == root {
			return true
		}
	}
	return false
}

func command(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return ""
	}
	args := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	name := filepath.Base(args[0])
	if len(args) > 1 && args[1] != "" && !strings.HasPrefix(args[1], "-") && !strings.Contains(args[1], "/") {
		name += " " + args[1]
	}
	return name
}
