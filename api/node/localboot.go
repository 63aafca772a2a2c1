package node

// Where a local machine finds its boot plan and its own agent.
const (
	// AgentPath is the agent's binary on a machine.
	AgentPath = "/usr/local/bin/drover-agent"
	// PreviousAgentPath is the binary a local machine's init falls back to when AgentPath fails to start.
	PreviousAgentPath = AgentPath + ".previous"
	// InitSocketPath is where a local machine's init hears that its agent lives. It is none of RunDir's, which a reset removes.
	InitSocketPath = "/run/drover-init.sock"
	// BootIDPath holds the boot identity of a local machine; the kernel's own is its host's and never changes.
	BootIDPath = "/run/drover/boot-id"
	// SharedBundlesDir is where a local machine has its host's unpacked bundles, read-only.
	SharedBundlesDir = "/var/lib/drover/shared-bundles"
)

// LocalBoot is everything the init of a local machine does before it starts the agent. It is no kind of the API:
// the local provider renders it, and `drover-agent init` carries it out, in the order of the fields, without deciding
// anything itself.
type LocalBoot struct {
	// Hostname is the machine's name.
	Hostname string `json:"hostname"`
	// BootID is new for each boot.
	BootID string `json:"bootID"`
	// Cgroup is where the machine's processes live.
	Cgroup LocalBootCgroup `json:"cgroup"`
	// Root is the directory, on the host, that becomes / once everything is mounted below it.
	Root string `json:"root"`
	// Mounts are made in this order, before Root becomes /.
	Mounts []LocalBootMount `json:"mounts"`
	// Devices are made after the mounts. Those the host lacks are left out.
	Devices []LocalBootDevice `json:"devices,omitempty"`
	// Files are written after the mounts.
	Files []LocalBootFile `json:"files,omitempty"`
	// Network is the machine's only interface beside lo; the provider puts it there.
	Network LocalBootNetwork `json:"network"`
	// Sysctls are set, in this order, in the machine's own namespaces.
	Sysctls []LocalBootSysctl `json:"sysctls,omitempty"`
	// Agent is the command line that runs, and runs again when it ends.
	Agent []string `json:"agent"`
	// PatienceSeconds is how long an agent that tells init that it lives may be silent, or not be ready after it was started,
	// before it is ended and started again. Zero is for ever, as for an agent that tells nothing.
	PatienceSeconds int `json:"patienceSeconds,omitempty"`
	// StopSeconds is how long processes have, after SIGTERM, before the machine is gone.
	StopSeconds int `json:"stopSeconds"`
}

// LocalBootCgroup is the place of a machine in its host's cgroups.
type LocalBootCgroup struct {
	// Namespace is the directory of the machine in a version 2 hierarchy, which becomes the root of a cgroup
	// namespace of its own. Empty on version 1, where machines see their host's hierarchies.
	Namespace string `json:"namespace,omitempty"`
	// System is the directory, below Namespace, that init and all it starts are in.
	System string `json:"system,omitempty"`
}

// LocalBootMount is one mount, or, with a Link, one symbolic link.
type LocalBootMount struct {
	// Type is a file system type, or "bind" or "rbind".
	Type string `json:"type,omitempty"`
	// Source is a path on the host for binds.
	Source string `json:"source,omitempty"`
	// Target is a path below Root. It is made, as what Source is, if it is not there.
	Target string `json:"target"`
	// Options are the file system's own.
	Options string `json:"options,omitempty"`
	// ReadOnly, NoSuid, NoDev and NoExec are mount flags.
	ReadOnly bool `json:"readOnly,omitempty"`
	NoSuid   bool `json:"noSuid,omitempty"`
	NoDev    bool `json:"noDev,omitempty"`
	NoExec   bool `json:"noExec,omitempty"`
	// Link makes Target a symbolic link to this instead of a mount.
	Link string `json:"link,omitempty"`
}

// LocalBootDevice is a device of the host that the machine has too.
type LocalBootDevice struct {
	// Path is where it is, on the host and below Root.
	Path string `json:"path"`
	// Mode is its permission bits.
	Mode uint32 `json:"mode"`
}

// LocalBootFile is a file written at each boot, or a directory or link made.
type LocalBootFile struct {
	// Path is below Root.
	Path string `json:"path"`
	// Mode is its permission bits.
	Mode uint32 `json:"mode"`
	// Content is written, unless Source is set.
	Content string `json:"content,omitempty"`
	// Source is a file on the host to copy.
	Source string `json:"source,omitempty"`
	// Link makes the file a symbolic link to this.
	Link string `json:"link,omitempty"`
	// Directory makes it a directory.
	Directory bool `json:"directory,omitempty"`
	// Keep leaves a file alone that is there already.
	Keep bool `json:"keep,omitempty"`
}

// LocalBootNetwork is the machine's interface.
type LocalBootNetwork struct {
	// Interface is its name in the machine.
	Interface string `json:"interface"`
	// Address is its address and prefix length.
	Address string `json:"address"`
	// Gateway is the address of the bridge.
	Gateway string `json:"gateway"`
}

// LocalBootSysctl is one kernel setting.
type LocalBootSysctl struct {
	// Name has dots, as sysctl(8) writes it.
	Name string `json:"name"`
	// Value is what it is set to.
	Value string `json:"value"`
	// Optional says that a kernel which refuses it is good enough.
	Optional bool `json:"optional,omitempty"`
}
