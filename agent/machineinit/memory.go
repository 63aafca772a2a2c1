package machineinit

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// shed gives back the memory that starting up took. Init shares its executable with the agent's many packages, whose
// initialization maps some 18 MB of it; from here on it needs a fraction, which comes back from the page cache as it
// is used. A machine is init's whole life, and there are many machines on a host.
func shed() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		if start, end, ok := droppable(line); ok {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
		}
	}
}

// droppable says whether a line of proc_pid_maps(5) is of file pages that were never written: dropped, they are read
// again from the file.
func droppable(line string) (start, end uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") || strings.Contains(fields[1], "w") {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end)
	return start, end, err == nil && n == 2
}
