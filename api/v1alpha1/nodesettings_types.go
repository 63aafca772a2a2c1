package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// NodeSettings is how a node is configured. A NodePool's template has it, and so has every NodeAgent: what the
// user wrote reaches the node unchanged.
type NodeSettings struct {
	// kubelet is the part of the kubelet's configuration that a pool may set.
	// +optional
	Kubelet KubeletSettings `json:"kubelet,omitempty,omitzero"`

	// runtime configures containerd.
	// +optional
	Runtime RuntimeSettings `json:"runtime,omitempty,omitzero"`

	// proxy configures kube-proxy.
	// +optional
	// +default={}
	Proxy ProxySettings `json:"proxy,omitempty,omitzero"`

	// network says how pods on different nodes reach each other.
	// +optional
	// +default={}
	Network NetworkSettings `json:"network,omitempty,omitzero"`

	// sysctls are kernel parameters the agent sets on the node before it starts anything, by their dotted names.
	// A parameter that the machine's kernel does not have or does not let the agent write is a preflight finding.
	// net.ipv4.ip_forward stays 1: pods' packets pass through the node.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[a-z0-9_-]+([./][a-zA-Z0-9_*-]+)+$') && size(k) <= 128 && size(self[k]) <= 256 && size(self[k]) > 0)",message="a sysctl is a dotted name such as net.core.somaxconn with a value of 1 to 256 characters"
	// +kubebuilder:validation:XValidation:rule="['net.ipv4.ip_forward', 'net/ipv4/ip_forward'].all(k, !(k in self) || self[k] == '1')",message="net.ipv4.ip_forward must be 1: pods' packets pass through the node"
	Sysctls map[string]SysctlValue `json:"sysctls,omitempty"`

	// drift says what the agent does about what others change on the node, so that it differs from the revision that
	// runs. It is looked for within two seconds, told as the finding Drift while it is there, and repaired by default.
	// +optional
	Drift DriftSettings `json:"drift,omitempty,omitzero"`
}

// DriftPolicy is what the agent does about a difference: Repair puts things back and tells of it, Report only tells, and
// Ignore does not look.
// +kubebuilder:validation:Enum=Repair;Report;Ignore
type DriftPolicy string

// The policies of DriftSettings.
const (
	DriftRepair DriftPolicy = "Repair"
	DriftReport DriftPolicy = "Report"
	DriftIgnore DriftPolicy = "Ignore"
)

// DriftSettings are the policies for each class of things that others may change on a node. What a revision brings anew is
// written whatever the policy: at the agent's start, and when the node's configuration changes.
type DriftSettings struct {
	// files are the components' configuration, that of the pod network, and the agent's systemd units where systemd runs
	// it. Default: Repair.
	// +optional
	// +default="Repair"
	Files DriftPolicy `json:"files,omitempty"`

	// sysctls are the kernel parameters that the agent sets, the node's own and those of the pool. Default: Repair.
	// +optional
	// +default="Repair"
	Sysctls DriftPolicy `json:"sysctls,omitempty"`

	// rules are the nftables rules of the pod network and, in either mode, kube-proxy's. Default: Repair.
	// +optional
	// +default="Repair"
	Rules DriftPolicy `json:"rules,omitempty"`

	// binaries are the programs of the bundle that runs, which are fetched anew. Default: Repair.
	// +optional
	// +default="Repair"
	Binaries DriftPolicy `json:"binaries,omitempty"`
}

// SysctlValue is the value of a kernel parameter as it is written to /proc/sys.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type SysctlValue string

// KubeletSettings is the typed subset of KubeletConfiguration that a pool may set. What is left out gets a value
// that fits the machine's size, so that several machines can share one host.
type KubeletSettings struct {
	// maxPods is the most pods the node runs. Default: 110, or what the node's pod range has addresses for if that is less.
	// With network mode Routes a node never runs more pods than its range has addresses for (253 with a /24): a larger number
	// counts as that one, and the NodeAgent has the finding MaxPods. With mode External it is taken as it is.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	MaxPods *int32 `json:"maxPods,omitempty"`

	// systemReserved is what the node keeps for the operating system, out of cpu, memory, ephemeral-storage and
	// pid. A kubelet does not start that is to keep more than the machine has. Default: nothing for a local machine, and by the machine's size elsewhere.
	// +optional
	// +kubebuilder:validation:MaxProperties=4
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu','memory','ephemeral-storage','pid'])",message="only cpu, memory, ephemeral-storage and pid can be reserved"
	// +kubebuilder:validation:XValidation:rule="!('cpu' in self) || (quantity(string(self['cpu'])).compareTo(quantity('0')) >= 0 && quantity(string(self['cpu'])).compareTo(quantity('1024')) <= 0)",message="cpu can be reserved from 0 to 1024"
	// +kubebuilder:validation:XValidation:rule="!('memory' in self) || (quantity(string(self['memory'])).compareTo(quantity('0')) >= 0 && quantity(string(self['memory'])).compareTo(quantity('64Ti')) <= 0)",message="memory can be reserved from 0 to 64Ti"
	// +kubebuilder:validation:XValidation:rule="!('ephemeral-storage' in self) || (quantity(string(self['ephemeral-storage'])).compareTo(quantity('0')) >= 0 && quantity(string(self['ephemeral-storage'])).compareTo(quantity('1Pi')) <= 0)",message="ephemeral-storage can be reserved from 0 to 1Pi"
	// +kubebuilder:validation:XValidation:rule="!('pid' in self) || (quantity(string(self['pid'])).compareTo(quantity('0')) >= 0 && quantity(string(self['pid'])).compareTo(quantity('4194304')) <= 0)",message="pid can be reserved from 0 to 4194304"
	SystemReserved map[corev1.ResourceName]resource.Quantity `json:"systemReserved,omitempty"`

	// kubeReserved is what the node keeps for containerd, the kubelet, kube-proxy and the agent, out of the same
	// resources. Default: by the machine's size (for memory 255 MiB and 11 MiB a pod, at most a quarter).
	// +optional
	// +kubebuilder:validation:MaxProperties=4
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu','memory','ephemeral-storage','pid'])",message="only cpu, memory, ephemeral-storage and pid can be reserved"
	// +kubebuilder:validation:XValidation:rule="!('cpu' in self) || (quantity(string(self['cpu'])).compareTo(quantity('0')) >= 0 && quantity(string(self['cpu'])).compareTo(quantity('1024')) <= 0)",message="cpu can be reserved from 0 to 1024"
	// +kubebuilder:validation:XValidation:rule="!('memory' in self) || (quantity(string(self['memory'])).compareTo(quantity('0')) >= 0 && quantity(string(self['memory'])).compareTo(quantity('64Ti')) <= 0)",message="memory can be reserved from 0 to 64Ti"
	// +kubebuilder:validation:XValidation:rule="!('ephemeral-storage' in self) || (quantity(string(self['ephemeral-storage'])).compareTo(quantity('0')) >= 0 && quantity(string(self['ephemeral-storage'])).compareTo(quantity('1Pi')) <= 0)",message="ephemeral-storage can be reserved from 0 to 1Pi"
	// +kubebuilder:validation:XValidation:rule="!('pid' in self) || (quantity(string(self['pid'])).compareTo(quantity('0')) >= 0 && quantity(string(self['pid'])).compareTo(quantity('4194304')) <= 0)",message="pid can be reserved from 0 to 4194304"
	KubeReserved map[corev1.ResourceName]resource.Quantity `json:"kubeReserved,omitempty"`

	// evictionHard maps an eviction signal to the threshold that makes the kubelet evict pods: a quantity or a
	// percentage. Default, by the machine's size: a tenth of its memory, up to 100Mi, for memory.available; for
	// nodefs.available and imagefs.available a tenth of its disk, at least 1Gi and at most 10Gi, or 1Gi on a local
	// machine, which shares its host's disk; and 5% for nodefs.inodesFree.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['memory.available','nodefs.available','nodefs.inodesFree','imagefs.available','imagefs.inodesFree','containerfs.available','containerfs.inodesFree','pid.available'])",message="not an eviction signal of the kubelet"
	EvictionHard map[string]EvictionThreshold `json:"evictionHard,omitempty"`

	// failSwapOn makes the kubelet refuse to start on a machine with swap. Default: false.
	// +optional
	FailSwapOn *bool `json:"failSwapOn,omitempty"`

	// swapBehavior is what pods get of a machine's swap: NoSwap for none, or LimitedSwap, which gives Burstable pods a
	// part in proportion to their memory requests and needs cgroup v2 (KEP-2400). Default: NoSwap.
	// +optional
	SwapBehavior SwapBehavior `json:"swapBehavior,omitempty"`

	// containerLogMaxSize is how large a container's log grows before it is rotated, from 4Ki to 100Gi in whole bytes.
	// Default: 10Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isInteger() && quantity(string(self)).compareTo(quantity('4Ki')) >= 0 && quantity(string(self)).compareTo(quantity('100Gi')) <= 0",message="a container's log is rotated at a size from 4Ki to 100Gi, in whole bytes"
	ContainerLogMaxSize *resource.Quantity `json:"containerLogMaxSize,omitempty"`

	// containerLogMaxFiles is how many log files of a container are kept. Default: 5.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=100
	ContainerLogMaxFiles *int32 `json:"containerLogMaxFiles,omitempty"`

	// shutdownGracePeriodSeconds is the time pods get to end when the machine shuts down or reboots, the last third of
	// it for critical ones. The kubelet learns of a shutdown from systemd: where there is none, as on every local
	// machine, this has no effect, and pods end with the machine. Default: 30.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	ShutdownGracePeriodSeconds *int32 `json:"shutdownGracePeriodSeconds,omitempty"`

	// allowedUnsafeSysctls are the sysctls, or patterns ending in *, that pods of this node may set although they can
	// harm other pods. They have a namespace in the kernel: net.*, fs.mqueue.*, kernel.shm*, kernel.msg* and kernel.sem,
	// or some of these.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^(kernel[./](sem|shm|shmall|shmmax|shmmni|shm_rmid_forced|msg|msgmax|msgmnb|msgmni)\*?|(net|fs[./]mqueue)([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*[./]([a-z0-9][-_a-z0-9]*)?[a-z0-9*])$`
	AllowedUnsafeSysctls []string `json:"allowedUnsafeSysctls,omitempty"`
}

// SwapBehavior is what pods get of a machine's swap.
// +kubebuilder:validation:Enum=NoSwap;LimitedSwap
type SwapBehavior string

// The swap behaviours of KubeletSettings.
const (
	NoSwap      SwapBehavior = "NoSwap"
	LimitedSwap SwapBehavior = "LimitedSwap"
)

// EvictionThreshold is a quantity such as 1Gi or a percentage such as 5%. 0% and 100% turn the signal off.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?%|[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?)$`
// +kubebuilder:validation:XValidation:rule="self.endsWith('%') ? double(self.substring(0, size(self) - 1)) <= 100.0 : quantity(self).isGreaterThan(quantity('0'))",message="a threshold is a quantity above 0, or a percentage from 0% to 100%"
type EvictionThreshold string

// RuntimeSettings configures containerd.
type RuntimeSettings struct {
	// registryMirrors are asked for images before, or in place of, the registries they stand for.
	// +optional
	// +listType=map
	// +listMapKey=registry
	// +kubebuilder:validation:MaxItems=32
	RegistryMirrors []RegistryMirror `json:"registryMirrors,omitempty"`
}

// RegistryMirror names the endpoints that serve one registry's images.
type RegistryMirror struct {
	// registry is the host, with the port if it has one, as image names spell it: registry.k8s.io, docker.io. The
	// name _default stands for every registry that has no mirror of its own.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^(_default|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?)$`
	Registry string `json:"registry,omitempty"`

	// endpoints are asked in this order, as URLs. When all fail, the registry itself is asked. They have no user name or
	// password: whoever may read the pool, and every node of the cluster, would read it. Let a mirror know its nodes by
	// their addresses.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=8
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^https?://[^\s"'\\]+$`
	// +kubebuilder:validation:XValidation:rule="self.all(e, !e.matches('^[a-z]+://[^/?#]*@'))",message="an endpoint's URL has no user name or password: all who may read the pool, and every node, would read it"
	Endpoints []string `json:"endpoints,omitempty"`

	// caBundle is the PEM bundle the endpoints' certificates are checked with. Default: the machine's own roots,
	// and for the manager's artifact endpoint the cluster's CA.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	CABundle string `json:"caBundle,omitempty"`
}

// ProxyMode is how Service rules get into the kernel.
// +kubebuilder:validation:Enum=nftables;iptables;None
type ProxyMode string

// The modes of ProxySettings.
const (
	ProxyModeNFTables ProxyMode = "nftables"
	ProxyModeIPTables ProxyMode = "iptables"
	// ProxyModeNone runs no kube-proxy, for networks that replace it.
	ProxyModeNone ProxyMode = "None"
)

// ProxySettings configures kube-proxy.
type ProxySettings struct {
	// mode is kube-proxy's mode, or None to run no kube-proxy. Default: nftables.
	// +optional
	// +default="nftables"
	Mode ProxyMode `json:"mode,omitempty"`
}

// NetworkMode is how pods on different nodes reach each other.
// +kubebuilder:validation:Enum=Routes;External
type NetworkMode string

// The modes of NetworkSettings.
const (
	// NetworkModeRoutes lets the agent configure a bridge on each node and a route to each other node's pods.
	// The nodes must share one L2 segment.
	NetworkModeRoutes NetworkMode = "Routes"
	// NetworkModeExternal leaves the pod network to the user's own CNI.
	NetworkModeExternal NetworkMode = "External"
)

// NetworkSettings says how pods on different nodes reach each other.
type NetworkSettings struct {
	// mode is Routes (the nodes share one L2 segment and the agent sets the routes) or External (a CNI of your
	// own). Default: Routes.
	// +optional
	// +default="Routes"
	Mode NetworkMode `json:"mode,omitempty"`

	// nodeCIDRs are the ranges that a node's address is chosen from: it is the machine's first address in the first
	// range that it has one in. The machine's provider must report that address. Default: the address that the
	// machine reaches the API server from.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="not a range of addresses such as 10.0.0.0/16"
	NodeCIDRs []string `json:"nodeCIDRs,omitempty"`

	// mtu is the largest packet pods send, in bytes. Default: that of the node's own interface.
	// +optional
	// +kubebuilder:validation:Minimum=1280
	// +kubebuilder:validation:Maximum=65535
	MTU *int32 `json:"mtu,omitempty"`
}
