package host

import (
	"os"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// What keeps a filesystem from having the agent's state.
const (
	mountNoExec   = "noexec"
	mountReadOnly = "ro"
)

// mountFlaw says what keeps the filesystem of a directory, which need not exist yet, from having the agent's state.
func (s *System) mountFlaw(dir string) string {
	file, err := os.Open(s.Path("/proc/self/mountinfo"))
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	mounts, err := mountinfo.GetMountsFromReader(file, mountinfo.ParentsFilter(dir))
	if err != nil || len(mounts) == 0 {
		return ""
	}
	// The nearest above it, and the last that was mounted there.
	nearest := mounts[0]
	for _, m := range mounts[1:] {
		if len(m.Mountpoint) >= len(nearest.Mountpoint) {
			nearest = m
		}
	}
	options := strings.Split(nearest.Options+","+nearest.VFSOptions, ",")
	for _, flaw := range []string{mountReadOnly, mountNoExec} {
		if slices.Contains(options, flaw) {
			return flaw
		}
	}
	return ""
}
