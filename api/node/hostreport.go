package node

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HostReport is what `drover-agent preflight --output json` prints: what a machine is like, and what stands against
// making a node of it. Making it changes nothing on the machine.
type HostReport struct {
	// AgentVersion is that of the agent which looked.
	AgentVersion string `json:"agentVersion,omitempty"`
	// Facts are what the machine is like.
	Facts HostFacts `json:"facts"`
	// Findings are what was found against it, the blocking ones first. None of those means that it is fit.
	Findings []HostFinding `json:"findings,omitempty"`
}

// Blocking are the findings that keep the machine from becoming a node.
func (r *HostReport) Blocking() []HostFinding {
	var blocking []HostFinding
	for _, f := range r.Findings {
		if f.Severity == FindingBlocking {
			blocking = append(blocking, f)
		}
	}
	return blocking
}

// HostFacts are what a machine is like. What cannot be found out is empty.
type HostFacts struct {
	// Hostname is the kernel's.
	Hostname string `json:"hostname,omitempty"`
	// MachineID is /etc/machine-id. Machines that were cloned may share it.
	MachineID string `json:"machineID,omitempty"`
	// BootID is new after each boot.
	BootID string `json:"bootID,omitempty"`
	// Architecture is Go's name of it, such as amd64 or arm64.
	Architecture string `json:"architecture,omitempty"`
	// OS is the distribution as it calls itself, such as "Debian GNU/Linux 12 (bookworm)", and OSID its short name.
	OS   string `json:"os,omitempty"`
	OSID string `json:"osID,omitempty"`
	// KernelRelease is what `uname -r` prints.
	KernelRelease string `json:"kernelRelease,omitempty"`
	// Systemd says whether systemd runs the machine.
	Systemd bool `json:"systemd"`

	// CPUs is how many processors the machine has.
	CPUs int `json:"cpus,omitempty"`
	// MemoryBytes is its memory.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// Disks are its disks, without partitions and what is made of them.
	Disks []HostDisk `json:"disks,omitempty"`
	// StateBytes is the size of the filesystem that the agent's state will be on, and StateFreeBytes the room on it.
	StateBytes     int64 `json:"stateBytes,omitempty"`
	StateFreeBytes int64 `json:"stateFreeBytes,omitempty"`
	// SwapBytes is how much swap is on.
	SwapBytes int64 `json:"swapBytes,omitempty"`

	// CgroupVersion is 1 or 2, or 0 where there are no cgroups.
	CgroupVersion int `json:"cgroupVersion,omitempty"`
	// SELinux is Enforcing, Permissive or Disabled.
	SELinux SELinuxMode `json:"selinux,omitempty"`
	// AppArmor says whether the kernel has it turned on.
	AppArmor bool `json:"apparmor"`

	// Time is what the machine's clock said.
	Time metav1.MicroTime `json:"time"`
	// TimeSynchronized says whether the kernel believes that a time service keeps its clock; nil where it does not say.
	TimeSynchronized *bool `json:"timeSynchronized,omitempty"`

	// Runtimes are the container runtimes and kubelets of others.
	Runtimes []HostRuntime `json:"runtimes,omitempty"`
	// Drover says whether an agent is installed, or has left its state.
	Drover bool `json:"drover"`
}

// SELinuxMode says what SELinux does on a machine.
type SELinuxMode string

// The modes of SELinux.
const (
	SELinuxEnforcing  SELinuxMode = "Enforcing"
	SELinuxPermissive SELinuxMode = "Permissive"
	SELinuxDisabled   SELinuxMode = "Disabled"
)

// HostDisk is a disk.
type HostDisk struct {
	// Name is the kernel's, such as sda.
	Name string `json:"name"`
	// Bytes is its size.
	Bytes int64 `json:"bytes"`
}

// HostRuntime is a container runtime or kubelet that is not Drover's.
type HostRuntime struct {
	// Name is containerd, docker, cri-o, podman, kubelet or k3s.
	Name string `json:"name"`
	// Running says whether it runs; else it is only installed.
	Running bool `json:"running"`
}

// HostFinding is something that speaks against a machine.
type HostFinding struct {
	// Name is a stable CamelCase name, such as KernelTooOld.
	Name string `json:"name"`
	// Severity is Blocking or Warning.
	Severity HostFindingSeverity `json:"severity"`
	// Message says what was seen and what to do about it.
	Message string `json:"message"`
}

// HostFindingSeverity says what a finding means for the machine.
type HostFindingSeverity string

// The severities of a HostFinding.
const (
	// FindingBlocking: the machine cannot be a node until this is mended.
	FindingBlocking HostFindingSeverity = "Blocking"
	// FindingWarning: it can, with what the message says.
	FindingWarning HostFindingSeverity = "Warning"
)
