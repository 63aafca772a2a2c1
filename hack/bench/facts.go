package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/dev/progress"
	"github.com/drover-dev/drover/version"
)

// facts says what was run on what.
func (b *bench) facts(took time.Duration) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nDrover %s: %s, in %s, on %s\n", version.Version, strings.Join(os.Args, " "), progress.Seconds(took), time.Now().UTC().Format(time.DateOnly))
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		fmt.Fprintf(&out, "Host: %d processors (%s), %s of memory, Linux %s, cgroup v%d; load %s at the end\n",
			runtime.NumCPU(), processor(), memory(), unix.ByteSliceToString(name.Release[:]), cgroupVersion(), load())
	}
	if b.spec != nil {
		fmt.Fprintf(&out, "Nodes: Kubernetes %s; each a local machine of the LocalMachineTemplate %s\n", b.spec.Version, template)
	}
	return out.String()
}

func processor() string {
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func memory() string {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return "an unknown amount"
	}
	return fmt.Sprintf("%.0f GB", float64(info.Totalram)*float64(info.Unit)/1e9)
}

func cgroupVersion() int {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return 2
	}
	return 1
}

func load() string {
	fields := strings.Fields(read("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func read(path string) string {
	data, _ := os.ReadFile(path) // of what cannot be read nothing is said
	return string(data)
}
