package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Host is a server of yours: how to reach it over SSH, and what is known of it. HostMachines are made of Hosts that are
// free and fit.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dho,categories=drover
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Claimed by",type=string,JSONPath=`.status.claim.name`
// +kubebuilder:printcolumn:name="OS",type=string,JSONPath=`.status.facts.os`
// +kubebuilder:printcolumn:name="CPUs",type=integer,JSONPath=`.status.facts.cpus`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.status.facts.memory`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type Host struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata. HostMachineTemplates select Hosts by its labels.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec says how to reach the server.
	// +required
	Spec HostSpec `json:"spec,omitzero"`

	// status is what is known of it.
	// +optional
	// +default={}
	Status HostStatus `json:"status,omitempty,omitzero"`
}

// SSHAccess is how one server is reached over SSH. Who presents none of its keys is not talked to.
type SSHAccess struct {
	// address is the server's name or IP address.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([a-zA-Z0-9.:-]*[a-zA-Z0-9])?$`
	Address string `json:"address,omitempty"`

	// port is its sshd's. Default: 22.
	// +optional
	// +default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// user is who to log in as. Default: root.
	// +optional
	// +default="root"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z_][a-z0-9_-]*$`
	User string `json:"user,omitempty"`

	// keySecretRef names a Secret in the same namespace. Each of its entries that is a private key is tried, in the order
	// of their names: to change the key, add the new one, and remove the old one once the server takes the new.
	// +required
	KeySecretRef SecretReference `json:"keySecretRef,omitzero"`

	// hostKeys are the server's public keys, as "ssh-keyscan" or /etc/ssh/ssh_host_*_key.pub have them without the
	// name: "ssh-ed25519 AAAA…".
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=16
	// +kubebuilder:validation:items:MaxLength=4096
	HostKeys []string `json:"hostKeys,omitempty"`

	// hostCertificateAuthorities are public keys of authorities that certify the server's keys for its address.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=16
	// +kubebuilder:validation:items:MaxLength=4096
	HostCertificateAuthorities []string `json:"hostCertificateAuthorities,omitempty"`
}

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// name is the Secret's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// HostPrivilege says how the manager becomes root on a server.
// +kubebuilder:validation:Enum=Root;Sudo
type HostPrivilege string

// The ways to become root.
const (
	// HostPrivilegeRoot: the user is root.
	HostPrivilegeRoot HostPrivilege = "Root"
	// HostPrivilegeSudo: the user may become root with sudo, by the password of sudoPasswordSecretRef if there is one.
	HostPrivilegeSudo HostPrivilege = "Sudo"
)

// HostCleanup says what becomes of a server that is released.
type HostCleanup string

// The ways to clean a server.
const (
	// HostCleanupReset: the agent's reset removes what Drover made, and proves it, before another claim.
	HostCleanupReset HostCleanup = "Reset"
	// HostCleanupManual: after the reset the Host waits in quarantine for somebody to look, and to remove the annotation
	// fleet.drover.dev/quarantine.
	HostCleanupManual HostCleanup = "Manual"
)

// HostSpec says how to reach a server.
// +kubebuilder:validation:XValidation:rule="(has(self.hostKeys) || has(self.hostCertificateAuthorities)) != (has(self.trustOnFirstUse) && self.trustOnFirstUse)",message="give hostKeys or hostCertificateAuthorities (ssh-keyscan prints the keys: compare them on the server), or else trustOnFirstUse: true"
// +kubebuilder:validation:XValidation:rule="!has(self.sudoPasswordSecretRef) || self.privilege == 'Sudo'",message="sudoPasswordSecretRef needs privilege: Sudo"
// +kubebuilder:validation:XValidation:rule="self.user == 'root' || self.privilege == 'Sudo'",message="a user other than root needs privilege: Sudo"
// +kubebuilder:validation:XValidation:rule="!has(self.nodeAddress) || isIP(self.nodeAddress)",message="nodeAddress is an IP address"
// +kubebuilder:validation:XValidation:rule="isIP(self.address) || has(self.nodeAddress)",message="address is a name: say in nodeAddress at which IP address other nodes reach the server"
type HostSpec struct {
	SSHAccess `json:",inline"`

	// trustOnFirstUse accepts whatever key the server shows first, and that one only from then on; status.hostKey has it.
	// Somebody who is in the way at that moment has your server's place. Default: false.
	// +optional
	TrustOnFirstUse *bool `json:"trustOnFirstUse,omitempty"`

	// privilege says how to become root: Root or Sudo. Default: Root.
	// +optional
	// +default="Root"
	Privilege HostPrivilege `json:"privilege,omitempty"`

	// sudoPasswordSecretRef names a Secret whose key "password" sudo is given.
	// +optional
	SudoPasswordSecretRef *SecretReference `json:"sudoPasswordSecretRef,omitempty"`

	// jumpHost is a server to go through, with keys of its own to be known by.
	// +optional
	JumpHost *JumpHost `json:"jumpHost,omitempty"`

	// httpProxy is the http:// URL of a proxy that connections to the server (or to its jump host) are asked from, such as
	// http://proxy.example.org:3128. It may have a user and a password before the name (http://user:password@…), which
	// whoever may read Hosts can read: give one that opens nothing but the proxy.
	// +optional
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^http://[^\s]+$`
	HTTPProxy string `json:"httpProxy,omitempty"`

	// nodeAddress is the IP address that other nodes reach the server at. Default: address, if it is one.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	NodeAddress string `json:"nodeAddress,omitempty"`

	// unschedulable keeps the Host from being claimed. What runs on it stays.
	// +optional
	Unschedulable *bool `json:"unschedulable,omitempty"`

	// cleanup says what becomes of the server when it is released: Reset or Manual. A HostMachine that says otherwise is
	// heeded for the release after it. Default: Reset.
	// +optional
	// +default="Reset"
	// +kubebuilder:validation:Enum=Reset;Manual
	Cleanup HostCleanup `json:"cleanup,omitempty"`
}

// JumpHost is a server to go through.
// +kubebuilder:validation:XValidation:rule="has(self.hostKeys) || has(self.hostCertificateAuthorities)",message="give the jump host's hostKeys or hostCertificateAuthorities"
type JumpHost struct {
	SSHAccess `json:",inline"`
}

// HostState is how a Host is, in a word. It is for people: decisions rest on the conditions and the claim.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type HostState string

// The states of a Host.
const (
	HostPending     HostState = "Pending"
	HostAvailable   HostState = "Available"
	HostUnfit       HostState = "Unfit"
	HostUnreachable HostState = "Unreachable"
	HostClaimed     HostState = "Claimed"
	HostCleaning    HostState = "Cleaning"
	HostQuarantined HostState = "Quarantined"
)

// HostStatus is what is known of a server.
type HostStatus struct {
	// conditions has Ready (the Host is free and fit, or serves a machine), Reachable, Fit and Clean.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status is about. Before the manager has looked it is -1, so
	// that nobody takes what was just applied for done.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state sums the conditions and the claim up in a word.
	// +optional
	State HostState `json:"state,omitempty"`

	// claim is whose the Host is. It tells what the annotation fleet.drover.dev/claim has, which decides.
	// +optional
	Claim *HostClaim `json:"claim,omitempty"`

	// hostKey is the public key that the server showed at the last login. One that was refused is in the conditions.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	HostKey string `json:"hostKey,omitempty"`

	// clean says that nothing of Drover's is on the server, as far as anybody knows.
	// +optional
	Clean *bool `json:"clean,omitempty"`

	// facts are what the server is like, while it is claimed as they were before: the NodeAgent then has the node's own.
	// +optional
	Facts HostFacts `json:"facts,omitempty,omitzero"`
}

// HostClaim is whose a Host is.
type HostClaim struct {
	// kind is HostMachine.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name is the claimer's, in the Host's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid is the claimer's: another one of the same name has no claim.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// released says that the claimer is gone, and that the server is to be cleaned.
	// +optional
	Released *bool `json:"released,omitempty"`

	// cleanup is what the claimer wants to become of the server when it is released; the Host's own cleanup if empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Cleanup HostCleanup `json:"cleanup,omitempty"`
}

// HostFacts are what a server is like, as its preflight found it.
// +kubebuilder:validation:MinProperties=1
type HostFacts struct {
	// machineID is /etc/machine-id. Servers that were cloned may share it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	MachineID string `json:"machineID,omitempty"`

	// architecture is amd64 or arm64, for example.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Architecture string `json:"architecture,omitempty"`

	// os is the distribution, as it calls itself.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	OS string `json:"os,omitempty"`

	// kernel is its release.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Kernel string `json:"kernel,omitempty"`

	// cpus is how many processors there are.
	// +optional
	// +kubebuilder:validation:Minimum=1
	CPUs *int32 `json:"cpus,omitempty"`

	// memory is how much there is.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// disks are the server's disks with their sizes, at most 32.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Disks []HostDisk `json:"disks,omitempty"`

	// cgroupVersion is 1 or 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2
	CgroupVersion *int32 `json:"cgroupVersion,omitempty"`

	// swap is how much of it is on.
	// +optional
	Swap *resource.Quantity `json:"swap,omitempty"`

	// selinux is Enforcing, Permissive or Disabled.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	SELinux string `json:"selinux,omitempty"`

	// appArmor says whether the kernel has it turned on.
	// +optional
	AppArmor *bool `json:"appArmor,omitempty"`

	// clockOffsetMilliseconds is how far the server's clock is ahead of the manager's, or behind if it is negative, to
	// within the time that asking took.
	// +optional
	// +kubebuilder:validation:Minimum=-9007199254740991
	// +kubebuilder:validation:Maximum=9007199254740991
	ClockOffsetMilliseconds *int64 `json:"clockOffsetMilliseconds,omitempty"`

	// runtimes are the container runtimes and kubelets of others, at most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Runtimes []string `json:"runtimes,omitempty"`
}

// HostDisk is a disk of a server.
type HostDisk struct {
	// name is the kernel's, such as sda.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name,omitempty"`

	// size is how much fits onto it.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`
}

// HostList is a list of Hosts.
// +kubebuilder:object:root=true
type HostList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Host `json:"items"`
}
