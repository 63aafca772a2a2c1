package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/node"
)

// The cgroup drivers that the kubelet and containerd know.
const (
	CgroupDriverSystemd  = "systemd"
	CgroupDriverCgroupfs = "cgroupfs"
)

// systemdRun is there where systemd is the init, see sd_booted(3).
const systemdRun = "/run/systemd/system"

// Facts are what the agent knows about its machine. They are gathered once, when the agent starts.
type Facts struct {
	// Hostname is the kernel's.
	Hostname string
	// KernelRelease is what uname -r prints.
	KernelRelease string

	// CgroupVersion is 1 or 2.
	CgroupVersion int
	// CgroupDriver is systemd where systemd runs the machine, else cgroupfs.
	CgroupDriver string
	// CgroupRoot is the cgroup the kubelet puts pods under, as /proc/self/cgroup spells it: "/" on a machine of its
	// own or with a cgroup namespace of its own, "/drover/<machine>" for another one that shares its host.
	CgroupRoot string
	// ComponentCgroup is the cgroup that the components have theirs in, as /proc/self/cgroup spells it; empty where they
	// stay in the agent's.
	ComponentCgroup string
	// SharesHost says whether the machine is a part of its host, with a part of the host's memory and disk.
	SharesHost bool
	// Controllers are the cgroup controllers that the machine has, sorted.
	Controllers []string
	// HasSystemd says whether systemd is the machine's init.
	HasSystemd bool

	// CanRaiseOOMScore says whether processes may be protected from the OOM killer (CAP_SYS_RESOURCE). Where they
	// may not, containerd must restrict the scores it sets, or no sandbox starts.
	CanRaiseOOMScore bool
	// ConntrackWritable says whether nf_conntrack_max may be written; kube-proxy must leave it alone otherwise. It is
	// nil, for not known, as long as the kernel has no connection tracking.
	ConntrackWritable *bool

	// CPUs is how many processors' time the machine may use: the host's, or its cgroup's limit rounded up.
	CPUs int
	// HostCPUs is how many processors the kernel has.
	HostCPUs int
	// MemoryBytes is the less of the kernel's memory and the limit of the machine's cgroup.
	MemoryBytes int64
	// HostMemoryBytes is the kernel's memory.
	HostMemoryBytes int64
	// Swap says whether any swap is on.
	Swap bool
	// InotifyInstances is fs.inotify.max_user_instances.
	InotifyInstances int64

	// Overlayfs says whether the kernel has the overlay filesystem.
	Overlayfs bool
	// NFTables is why nftables cannot be used, empty where it can.
	NFTables string
	// BridgeNetfilter says whether bridged packets can be made to pass the packet filter.
	BridgeNetfilter bool
	// MissingTools are the programs of the machine that components run and that it lacks.
	MissingTools []string
	// StateDiskBytes is the size of the state directory's filesystem, and StateDiskFreeBytes how much room it has.
	StateDiskBytes, StateDiskFreeBytes int64
	// StateMount says what keeps the filesystem of the state directory from being used, noexec or ro; empty for nothing.
	StateMount string
	// ForwardDrops are the chains of others that drop pods' packets.
	ForwardDrops []ForwardDrop
	// UnreadFirewall is which of others' rules could not be read and why, empty where all were.
	UnreadFirewall string
	// SELinux says what SELinux does.
	SELinux node.SELinuxMode

	// NodeIP is the address the node is reached at: one that was chosen, or the source address of packets to the API server.
	NodeIP netip.Addr
	// Interface is the name of the link that has NodeIP.
	Interface string
	// MTU is that link's, in bytes.
	MTU int
}

// GatherOptions say what Gather cannot read off the machine.
type GatherOptions struct {
	// Server is the API server's URL; the node's address is chosen by the route to it.
	Server string
	// NodeIP, when it is valid, is the node's address whatever else is said.
	NodeIP netip.Addr
	// NodeCIDRs, when there are any, are the ranges that the node's address is in.
	NodeCIDRs []netip.Prefix
	// StateDir is where the agent keeps its state.
	StateDir string
	// LookOnly is to change nothing, not even to load a module: what could be loaded or set counts as there. The node's
	// address is not looked for then.
	LookOnly bool
}

// Gather reads the facts. It fails only when a fact that nothing can do without is missing.
func (s *System) Gather(ctx context.Context, opts GatherOptions) (Facts, error) {
	f := Facts{
		HasSystemd:       s.Exists(systemdRun),
		CanRaiseOOMScore: s.hasCapability(capSysResource),
		Overlayfs:        s.hasFilesystem("overlay"),
		BridgeNetfilter:  s.Exists(bridgeNetfilter),
		Swap:             len(s.lines("/proc/swaps")) > 1,
		InotifyInstances: s.Integer("/proc/sys/fs/inotify/max_user_instances"),
		HostCPUs:         s.processors(),
		KernelRelease:    s.Text("/proc/sys/kernel/osrelease"),
		StateMount:       s.mountFlaw(opts.StateDir),
		SELinux:          s.selinux(),
	}
	var err error
	if f.Hostname, err = s.Hostname(); err != nil {
		return f, fmt.Errorf("read the host name: %w", err)
	}
	if err := s.gatherCgroups(&f); err != nil {
		return f, err
	}
	s.gatherSize(&f)
	f.MissingTools = s.missingTools()
	if size, free, err := s.DiskBytes(s.Path(opts.StateDir)); err == nil {
		f.StateDiskBytes, f.StateDiskFreeBytes = size, free
	}
	s.gatherFirewall(ctx, opts, &f)
	if opts.LookOnly {
		s.foresee(&f)
		return f, nil
	}
	f.ConntrackWritable = s.conntrackWritable(f.SharesHost)
	if err := s.NFTables(); err != nil {
		f.NFTables = err.Error()
	}
	return f, s.gatherAddress(ctx, opts, &f)
}

// gatherFirewall reads what others' rules do to pods' packets. To ask nftables for them loads the kernel's module.
func (s *System) gatherFirewall(ctx context.Context, opts GatherOptions, f *Facts) {
	var unread error
	if s.ForwardDrops != nil && (!opts.LookOnly || s.Exists("/sys/module/nf_tables") || !s.loadable("nf_tables")) {
		f.ForwardDrops, unread = s.ForwardDrops()
	}
	legacy, err := s.legacyDrops(ctx)
	f.ForwardDrops = append(f.ForwardDrops, legacy...)
	if err = errors.Join(unread, err); err != nil {
		f.UnreadFirewall = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}

// foresee makes the facts those that there will be once the agent has loaded and set what it can.
func (s *System) foresee(f *Facts) {
	f.Overlayfs = f.Overlayfs || s.loadable("overlay")
	f.BridgeNetfilter = f.BridgeNetfilter || s.loadable("br_netfilter")
	if !f.SharesHost {
		f.InotifyInstances = max(f.InotifyInstances, minInotifyInstances)
	}
	if !s.loadable("nf_tables") { // asking the kernel loads it where it can be loaded
		if err := s.NFTables(); err != nil {
			f.NFTables = err.Error()
		}
	}
}

// gatherSize sets the memory and the processors that the machine may use.
func (s *System) gatherSize(f *Facts) {
	f.HostMemoryBytes = s.memTotal()
	f.MemoryBytes, f.CPUs = f.HostMemoryBytes, f.HostCPUs
	if limit := s.memoryLimit(f); limit > 0 && limit < f.MemoryBytes {
		f.MemoryBytes = limit
	}
	if limit := s.cpuLimit(f); limit > 0 && limit < f.CPUs {
		f.CPUs = limit
	}
}

func (s *System) memTotal() int64 {
	for _, line := range s.lines("/proc/meminfo") {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib * 1024
		}
	}
	return 0
}

func (s *System) processors() int {
	n := 0
	for _, line := range s.lines("/proc/cpuinfo") {
		if strings.HasPrefix(line, "processor") {
			n++
		}
	}
	return max(n, 1)
}

// The bits of capabilities, see capabilities(7).
const (
	capSysModule   = 16
	capSysResource = 24
)

func (s *System) hasCapability(bit uint) bool {
	for _, line := range s.lines(s.own("status")) {
		if rest, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			return err == nil && set&(1<<bit) != 0
		}
	}
	return false
}

// own is a file of the agent's process.
func (s *System) own(file string) string {
	if s.Agent != 0 {
		return fmt.Sprintf("/proc/%d/%s", s.Agent, file)
	}
	return "/proc/self/" + file
}

func (s *System) hasFilesystem(name string) bool {
	for _, line := range s.lines("/proc/filesystems") {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return s.Exists("/sys/module/" + name)
}

// missingTools looks for what kube-proxy, the portmap plugin and the kubelet run.
func (s *System) missingTools() []string {
	var missing []string
	for _, tool := range []string{"nft", "iptables", "mount", "umount"} {
		if s.Tool(tool) == "" {
			missing = append(missing, tool)
		}
	}
	return missing
}

// Tool is the path of a program of the machine, empty where there is none.
func (s *System) Tool(name string) string {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if path := dir + "/" + name; s.Exists(path) {
			return path
		}
	}
	return ""
}

const (
	bridgeNetfilter = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	conntrackMax    = "/proc/sys/net/netfilter/nf_conntrack_max"
)

// conntrackWritable opens the file as if to write to it. It is read-only in every network namespace but the first
// since Linux 5.13; before, it would be the host's limit that a machine that shares its host changes.
func (s *System) conntrackWritable(sharesHost bool) *bool {
	switch {
	case sharesHost:
		return ptr.To(false)
	case s.Text(conntrackMax) == "":
		return nil
	}
	file, err := os.OpenFile(s.Path(conntrackMax), os.O_WRONLY, 0)
	if err == nil {
		_ = file.Close()
	}
	return ptr.To(err == nil)
}
