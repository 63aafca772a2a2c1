package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/procfs"
)

// SinceBoot is the time since the host's boot, on the clock that processes' starts are on.
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
			if s, err := procfs.ReadStat(pid); err == nil { // else it just ended
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
