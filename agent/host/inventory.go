package host

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/node"
)

// Inventory is what the machine is like, for whoever is to choose among machines. It changes nothing.
func (s *System) Inventory(stateDir string) node.HostFacts {
	release := s.osRelease()
	f := node.HostFacts{
		MachineID:     s.Text("/etc/machine-id"),
		BootID:        s.Text("/proc/sys/kernel/random/boot_id"),
		Architecture:  runtime.GOARCH,
		OS:            cmp.Or(release["PRETTY_NAME"], release["NAME"]),
		OSID:          release["ID"],
		KernelRelease: s.Text("/proc/sys/kernel/osrelease"),
		Systemd:       s.Exists(systemdRun),
		CPUs:          s.processors(),
		MemoryBytes:   s.memTotal(),
		Disks:         s.disks(),
		SwapBytes:     s.swap(),
		SELinux:       s.selinux(),
		AppArmor:      s.Text("/sys/module/apparmor/parameters/enabled") == "Y",
		Time:          metav1.NowMicro(),
		Runtimes:      s.runtimes(stateDir),
		Drover:        s.Exists(stateDir),
	}
	f.Hostname, _ = s.Hostname()
	f.StateBytes, f.StateFreeBytes, _ = s.DiskBytes(s.Path(stateDir))
	cgroups := Facts{}
	if s.gatherCgroups(&cgroups) == nil {
		f.CgroupVersion = cgroups.CgroupVersion
	}
	if s.TimeSynchronized != nil {
		f.TimeSynchronized = s.TimeSynchronized()
	}
	return f
}

// osRelease are the fields of os-release(5).
func (s *System) osRelease() map[string]string {
	fields := map[string]string{}
	for _, line := range s.lines("/etc/os-release") {
		if name, value, ok := strings.Cut(line, "="); ok {
			fields[name] = strings.Trim(value, `"'`)
		}
	}
	return fields
}

// disks are the block devices that are hardware, be it virtual.
func (s *System) disks() []node.HostDisk {
	entries, err := os.ReadDir(s.Path("/sys/block"))
	if err != nil {
		return nil
	}
	var disks []node.HostDisk
	for _, entry := range entries {
		dir := "/sys/block/" + entry.Name()
		if sectors := s.Integer(dir + "/size"); sectors > 0 && s.Exists(dir+"/device") {
			disks = append(disks, node.HostDisk{Name: entry.Name(), Bytes: sectors * 512})
		}
	}
	return disks
}

// swap is how much swap is on, in bytes.
func (s *System) swap() int64 {
	var kib int64
	for _, line := range s.lines("/proc/swaps") {
		if fields := strings.Fields(line); len(fields) > 2 {
			n, _ := strconv.ParseInt(fields[2], 10, 64) // the heading is no number
			kib += n
		}
	}
	return kib * 1024
}

func (s *System) selinux() node.SELinuxMode {
	switch s.Text("/sys/fs/selinux/enforce") {
	case "1":
		return node.SELinuxEnforcing
	case "0":
		return node.SELinuxPermissive
	}
	return node.SELinuxDisabled
}

// runtimePrograms are the programs of container runtimes and kubelets, and what they belong to.
var runtimePrograms = map[string]string{
	"containerd": "containerd", "dockerd": "docker", "crio": "cri-o", "podman": "podman", "kubelet": "kubelet",
	"k3s": "k3s", "k3s-server": "k3s", "k3s-agent": "k3s",
}

// runtimes are the container runtimes and kubelets that are not ours, that is, whose programs are not below stateDir.
func (s *System) runtimes(stateDir string) []node.HostRuntime {
	running := map[string]bool{}
	for program, name := range runtimePrograms {
		if s.Tool(program) != "" {
			running[name] = false
		}
	}
	for _, program := range s.running(stateDir) {
		if name, ok := runtimePrograms[program]; ok {
			running[name] = true
		}
	}
	var found []node.HostRuntime
	for name, runs := range running {
		found = append(found, node.HostRuntime{Name: name, Running: runs})
	}
	slices.SortFunc(found, func(a, b node.HostRuntime) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// running are the names of the programs that run, without those whose files are below a directory.
func (s *System) running(without string) []string {
	dirs, err := filepath.Glob(s.Path("/proc/[0-9]*"))
	if err != nil {
		return nil
	}
	var names []string
	for _, dir := range dirs {
		name, err := os.ReadFile(dir + "/comm")
		if exe, linkErr := os.Readlink(dir + "/exe"); err != nil || linkErr == nil && strings.HasPrefix(exe, without+"/") {
			continue
		}
		names = append(names, strings.TrimSpace(string(name)))
	}
	return names
}

// timeSynchronized asks the kernel whether a time service keeps its clock, without setting anything.
func timeSynchronized() *bool {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return nil
	}
	synchronized := t.Status&unix.STA_UNSYNC == 0
	return &synchronized
}
