package machine

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"github.com/drover-dev/drover/api/node"
)

const (
	interfaceName = "eth0"
	systemCgroup  = "system"
	cgroupRoot    = "/sys/fs/cgroup"
	// stopSeconds is how long a machine's processes have to end: its pods are drained by then.
	stopSeconds = 5
	// patienceSeconds are those of the systemd unit: an agent may have to wait for a disk that takes minutes.
	patienceSeconds = 300
)

// inputs are all that a boot depends on.
type inputs struct {
	layout        layout
	record        record
	facts         Facts
	limits        Limits
	agentBinary   string
	sharedBundles string
	cgroupParent  string
}

// Limits are a machine's share of its host. Zero is no limit.
type Limits struct {
	CPUs        int32
	MemoryBytes int64
}

// renderBoot is the plan that the machine's init carries out.
func renderBoot(in inputs) node.LocalBoot {
	return node.LocalBoot{
		Hostname:        in.layout.name,
		BootID:          in.record.BootID,
		Cgroup:          renderBootCgroup(in),
		Root:            in.layout.mounted(),
		Mounts:          renderMounts(in),
		Devices:         renderDevices(),
		Files:           renderFiles(in),
		Network:         node.LocalBootNetwork{Interface: interfaceName, Address: in.record.Address, Gateway: in.record.Gateway},
		Sysctls:         renderSysctls(),
		Agent:           []string{node.AgentPath, "run"},
		PatienceSeconds: patienceSeconds,
		StopSeconds:     stopSeconds,
	}
}

func renderMounts(in inputs) []node.LocalBootMount {
	l := in.layout
	mounts := []node.LocalBootMount{
		{Type: "overlay", Target: "/", Options: fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", l.upper(), l.work())},
		// containerd stacks overlays of its own on a real file system, not on an overlay.
		{Type: "bind", Source: l.variable(), Target: "/var"},
		{Type: "proc", Target: "/proc", NoSuid: true, NoDev: true, NoExec: true},
		{Type: "sysfs", Target: "/sys", NoSuid: true, NoDev: true, NoExec: true},
	}
	mounts = append(mounts, renderCgroupMounts(in.facts)...)
	mounts = append(mounts,
		node.LocalBootMount{Type: "tmpfs", Target: "/dev", Options: "mode=755,size=4m", NoSuid: true},
		node.LocalBootMount{Type: "devpts", Target: "/dev/pts", Options: "newinstance,ptmxmode=0666,mode=620,gid=5", NoSuid: true, NoExec: true},
		node.LocalBootMount{Type: "tmpfs", Target: "/dev/shm", Options: "mode=1777", NoSuid: true, NoDev: true},
		node.LocalBootMount{Type: "mqueue", Target: "/dev/mqueue", NoSuid: true, NoDev: true, NoExec: true},
		node.LocalBootMount{Type: "tmpfs", Target: "/run", Options: "mode=755", NoSuid: true, NoDev: true},
		node.LocalBootMount{Type: "tmpfs", Target: "/tmp", Options: "mode=1777", NoSuid: true, NoDev: true},
		node.LocalBootMount{Type: "bind", Source: l.etcCNI(), Target: "/etc/cni"},
		node.LocalBootMount{Type: "bind", Source: l.optCNI(), Target: "/opt/cni"},
		node.LocalBootMount{Type: "bind", Source: l.etcDrover(), Target: filepath.Dir(node.BootstrapPath)},
	)
	if in.sharedBundles != "" {
		mounts = append(mounts, node.LocalBootMount{Type: "bind", Source: in.sharedBundles, Target: node.SharedBundlesDir, ReadOnly: true, NoDev: true, NoSuid: true})
	}
	for _, mask := range l.masks() {
		mounts = append(mounts, node.LocalBootMount{Type: "tmpfs", Target: mask, Options: "mode=755,size=4k", ReadOnly: true, NoSuid: true, NoDev: true, NoExec: true})
	}
	return mounts
}

// renderCgroupMounts shows a machine its host's hierarchies on version 1, where kubelet and runc need whole ones,
// and its own part of the hierarchy on version 2.
func renderCgroupMounts(facts Facts) []node.LocalBootMount {
	if facts.CgroupVersion == 2 {
		return []node.LocalBootMount{{Type: "cgroup2", Target: cgroupRoot, NoSuid: true, NoDev: true, NoExec: true}}
	}
	mounts := []node.LocalBootMount{{Type: "tmpfs", Target: cgroupRoot, Options: "mode=755,size=64k", NoSuid: true, NoDev: true, NoExec: true}}
	for _, h := range facts.Hierarchies {
		mounts = append(mounts, node.LocalBootMount{Type: "bind", Source: h.Mount, Target: filepath.Join(cgroupRoot, filepath.Base(h.Mount))})
	}
	names := make([]string, 0, len(facts.CgroupLinks))
	for name := range facts.CgroupLinks {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		mounts = append(mounts, node.LocalBootMount{Target: filepath.Join(cgroupRoot, name), Link: facts.CgroupLinks[name]})
	}
	return mounts
}

// renderDevices are what containers, the kubelet (kmsg) and volumes need; none of the host's disks.
func renderDevices() []node.LocalBootDevice {
	var devices []node.LocalBootDevice
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"} {
		devices = append(devices, node.LocalBootDevice{Path: "/dev/" + name, Mode: 0o666})
	}
	devices = append(devices, node.LocalBootDevice{Path: "/dev/kmsg", Mode: 0o644}, node.LocalBootDevice{Path: "/dev/loop-control", Mode: 0o660})
	for i := range 8 {
		devices = append(devices, node.LocalBootDevice{Path: fmt.Sprintf("/dev/loop%d", i), Mode: 0o660})
	}
	return devices
}

func renderFiles(in inputs) []node.LocalBootFile {
	name := in.layout.name
	address, _, _ := strings.Cut(in.record.Address, "/")
	files := []node.LocalBootFile{
		{Path: "/dev/fd", Link: "/proc/self/fd"},
		{Path: "/dev/stdin", Link: "/proc/self/fd/0"},
		{Path: "/dev/stdout", Link: "/proc/self/fd/1"},
		{Path: "/dev/stderr", Link: "/proc/self/fd/2"},
		{Path: "/dev/ptmx", Link: "pts/ptmx"},
		{Path: "/run/lock", Directory: true, Mode: 0o1777},
		{Path: "/var/run", Link: "/run"},
		{Path: "/var/lock", Link: "/run/lock"},
	}
	for _, dir := range []string{"/var/cache", "/var/lib", "/var/log", "/var/spool"} {
		files = append(files, node.LocalBootFile{Path: dir, Directory: true, Mode: 0o755})
	}
	return append(files,
		node.LocalBootFile{Path: "/var/tmp", Directory: true, Mode: 0o1777},
		node.LocalBootFile{Path: node.StateDir, Directory: true, Mode: 0o755},
		node.LocalBootFile{Path: "/etc/hostname", Mode: 0o644, Content: name + "\n"},
		node.LocalBootFile{Path: "/etc/hosts", Mode: 0o644, Content: fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n%s %s\n", address, name)},
		node.LocalBootFile{Path: "/etc/machine-id", Mode: 0o444, Content: in.record.MachineID + "\n"},
		node.LocalBootFile{Path: "/etc/resolv.conf", Mode: 0o644, Content: in.facts.ResolvConf},
		node.LocalBootFile{Path: "/etc/mtab", Link: "/proc/self/mounts"},
		// Later boots keep what somebody put there. The agent's own update does not: it is in the state directory.
		node.LocalBootFile{Path: node.AgentPath, Mode: 0o755, Source: in.agentBinary, Keep: true},
	)
}

func renderSysctls() []node.LocalBootSysctl {
	return []node.LocalBootSysctl{
		{Name: "net.ipv4.ip_forward", Value: "1"},
		// Neighbours forget who had the address before.
		{Name: "net.ipv4.conf.all.arp_notify", Value: "1", Optional: true},
		{Name: "net.ipv4.conf." + interfaceName + ".arp_notify", Value: "1", Optional: true},
	}
}

func renderLink(in inputs) Link {
	return Link{HostName: in.layout.linkName(), PeerName: interfaceName, Bridge: in.record.Bridge,
		HardwareAddress: in.layout.hardwareAddress(), Alias: in.layout.alias()}
}
