package machine

import (
	"context"
	"net/netip"
	"syscall"
	"time"
)

// Host is everything outside this process that machines are made of. Every method may be repeated: what is already
// as asked is left alone, what is already gone is no error.
type Host interface {
	// Facts says what kind of host this is. Its error is a sentence for a user when local machines cannot run here.
	Facts(root string) (Facts, error)
	// Bridge looks up the bridge that machines are attached to.
	Bridge(name string) (Bridge, error)
	// MakeCgroups makes a machine's cgroups, outermost first, and sets its limits.
	MakeCgroups(cgroups Cgroups) error
	// RemoveCgroups ends what still runs in them and removes them, innermost first.
	RemoveCgroups(ctx context.Context, cgroups Cgroups) error
	// Launch starts a machine's first process, which waits for the word to go on.
	Launch(launch Launch) (Waiting, error)
	// AttachLink puts one end of a new link into the bridge and the other into the process's network namespace.
	AttachLink(link Link, p Process) error
	// RemoveLink removes the host's end, and so both.
	RemoveLink(name string) error
	// Alive says whether that very process is running. Its error says that nobody knows: who cannot look must not take
	// the process for dead.
	Alive(p Process) (bool, error)
	// Watch returns a channel that is closed once the process, and with it everything in its pid namespace, is
	// gone, or ctx is done.
	Watch(ctx context.Context, p Process) (<-chan struct{}, error)
	// Signal sends a signal to that very process.
	Signal(p Process, signal syscall.Signal) error
	// ReadInside reads a small file of the machine, never following a link out of it.
	ReadInside(p Process, name string) ([]byte, error)
	// RemoveTree unmounts what is mounted below dir and removes it with everything in it.
	RemoveTree(dir string) error
}

// Facts about a host.
type Facts struct {
	// BootID is the kernel's: a process ID means nothing under another one.
	BootID string
	// CgroupVersion is 1 (also on hybrid hosts, whose controllers are in version 1 hierarchies) or 2.
	CgroupVersion int
	// Hierarchies are the host's cgroup hierarchies.
	Hierarchies []Hierarchy
	// CgroupLinks are symbolic links beside them, by name.
	CgroupLinks map[string]string
	// ResolvConf is a resolv.conf that works in another network namespace.
	ResolvConf string
}

// Hierarchy is one cgroup file system.
type Hierarchy struct {
	// Mount is where it is.
	Mount string
	// Unified is true for version 2.
	Unified bool
	// Controllers are those in it.
	Controllers []string
}

// Bridge is a host's bridge.
type Bridge struct {
	// Name is its link's.
	Name string
	// Address is its own address and the subnet's prefix length.
	Address netip.Prefix
}

// Link is the pair of interfaces between a bridge and a machine.
type Link struct {
	// HostName is the host's end, at most 15 characters.
	HostName string
	// PeerName is the machine's end.
	PeerName string
	// Bridge is what the host's end joins.
	Bridge string
	// HardwareAddress is of the machine's end.
	HardwareAddress string
	// Alias says on the host whose it is.
	Alias string
}

// Cgroups of one machine.
type Cgroups struct {
	// Make is every directory, outermost first.
	Make []CgroupDir
	// Join are the directories the first process is put into before it goes on.
	Join []string
	// Remove are the trees that are the machine's own.
	Remove []string
	// RemoveIfEmpty are directories it may share with other machines.
	RemoveIfEmpty []string
}

// CgroupDir is one cgroup in one hierarchy.
type CgroupDir struct {
	// Path is its directory.
	Path string
	// Inherit are files copied down from its parent if they are empty (cpuset's).
	Inherit []string
	// Set are its settings, in order.
	Set []CgroupSetting
	// Delegate are the controllers its children are to have (version 2).
	Delegate []string
}

// CgroupSetting is one file of a cgroup and its value.
type CgroupSetting struct{ File, Value string }

// Launch is how a machine's first process is started.
type Launch struct {
	// Command is the argv.
	Command []string
	// Console takes its output.
	Console string
	// Cgroups are joined before it goes on.
	Cgroups []string
}

// Process names one process for good: a process ID alone is used again.
type Process struct {
	// PID is on the host.
	PID int `json:"pid"`
	// StartTime is in the kernel's clock ticks since its boot.
	StartTime uint64 `json:"startTime"`
	// HostBootID is the kernel's boot.
	HostBootID string `json:"hostBootID"`
}

// Waiting is a machine's first process before it got the word.
type Waiting interface {
	// Process identifies it.
	Process() Process
	// Go gives the word and returns once the machine stands; else the process is gone and the error says why.
	Go(ctx context.Context, timeout time.Duration) error
	// Abort ends it.
	Abort()
}

// Problem is an error that a user can do something about.
type Problem struct {
	// Message is a sentence.
	Message string
	// NoAddress says that there is no address left to give, which is all that is wrong.
	NoAddress bool
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

// unmakeable is the problem of a machine that cannot be made, with a sentence that says why.
func unmakeable(message string) error { return &Problem{Message: message} }
