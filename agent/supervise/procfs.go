package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/procfs"
)

// image is what identifies a running process: its start time, in clock ticks since the boot, tells it from a later
// one with the same PID.
type image struct {
	start uint64
	exe   string
	argv  []string
}

// readImage reads the image of a process from /proc. A zombie is an error: it runs nothing any more.
func readImage(pid int) (image, error) {
	stat, err := procfs.ReadStat(pid)
	if err != nil {
		return image{}, err
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil {
		return image{}, fmt.Errorf("read the executable of process %d: %w", pid, err)
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return image{}, fmt.Errorf("read the arguments of process %d: %w", pid, err)
	}
	if len(cmdline) == 0 {
		return image{}, fmt.Errorf("process %d is a zombie", pid)
	}
	argv := strings.Split(string(bytes.TrimSuffix(cmdline, []byte{0})), "\x00")
	return image{start: stat.StartTime, exe: strings.TrimSuffix(exe, " (deleted)"), argv: argv}, nil
}

// imagePatience is how long a process may show neither executable nor arguments.
const imagePatience = time.Second

// image is the image of the process. In the middle of an exec the kernel shows no arguments for a moment, which passes.
// It is empty when the process has ended, and all but its start time, as far as that can be read, when it goes on showing
// nothing else.
func (h *handle) image() image {
	for deadline := time.Now().Add(imagePatience); ; {
		img, err := readImage(h.pid)
		if err == nil {
			return img
		}
		ended := false
		if h.control(func(fd uintptr) { ended = polled(fd, unix.POLLIN, time.Millisecond) }) != nil || ended {
			return image{}
		}
		if time.Now().After(deadline) {
			start, _ := h.startTime()
			return image{start: start}
		}
	}
}

// startTime is the process's, 0 when there is none by its number any more.
func (h *handle) startTime() (uint64, error) {
	stat, err := procfs.ReadStat(h.pid)
	if procfs.IsGone(err) {
		return 0, nil
	}
	return stat.StartTime, err
}

// findProcess looks for a process in our own PID and mount namespaces that runs argv from exe, 0 for none. Other machines
// on the same host run the same arguments, in namespaces of theirs.
func findProcess(exe string, argv []string) (int, error) {
	if resolved, err := filepath.EvalSymlinks(exe); err == nil {
		exe = resolved
	}
	pids, err := Others()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		img, err := readImage(pid)
		if isExhausted(err) {
			return 0, err
		}
		if err == nil && img.exe == exe && slices.Equal(img.argv, argv) && SameNamespaces(pid) {
			return pid, nil
		}
	}
	return 0, nil
}

// isExhausted says of an error that it is for want of something of ours, and would be the same for any process.
func isExhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

// Others are the processes that /proc shows, without this one.
func Others() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := make([]int, 0, len(entries))
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// SameNamespaces says whether a process is in our own PID and mount namespaces, where its paths are ours.
func SameNamespaces(pid int) bool {
	for _, kind := range []string{"pid", "mnt"} {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			return false
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil || ours != theirs {
			return false
		}
	}
	return true
}
