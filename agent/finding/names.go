package finding

import "github.com/drover-dev/drover/api/v1alpha1"

// Names of findings. They are stable: other tools match on them.
const (
	// Of the preflight.
	CgroupV1                = "CgroupV1"
	CgroupControllerMissing = "CgroupControllerMissing"
	NoOOMScoreAdjust        = "NoOOMScoreAdjust"
	ConntrackReadOnly       = "ConntrackReadOnly"
	InotifyInstances        = "InotifyInstances"
	Swap                    = "Swap"
	Overlayfs               = "Overlayfs"
	NFTables                = "NFTables"
	BridgeNetfilter         = "BridgeNetfilter"
	KernelTooOld            = "KernelTooOld"
	DiskSpace               = "DiskSpace"
	Memory                  = "Memory"
	Clock                   = "Clock"
	HostnameMismatch        = "HostnameMismatch"
	Sysctl                  = "Sysctl"
	ToolMissing             = "ToolMissing"
	StateMount              = "StateMount"
	SELinux                 = "SELinux"
	OtherRuntime            = "OtherRuntime"
	NoTimeService           = "NoTimeService"
	Firewall                = "Firewall"

	// MaxPods is about a node that may run fewer pods than the user set.
	MaxPods = "MaxPods"
	// NodeAddress is about a node that goes on with the address it had.
	NodeAddress = "NodeAddress"
	// APIServer is about an API server that the node is to use and the agent gets no answer from.
	APIServer = "APIServer"
	// AgentCertificate is about an agent's certificate that is not renewed.
	AgentCertificate = "AgentCertificate"
	// AgentUpdate is about a version of the agent that is asked for and does not run.
	AgentUpdate = v1alpha1.FindingAgentUpdate
	// ServingCertificate is about a kubelet that got no certificate to serve with.
	ServingCertificate = "ServingCertificate"

	// FormerPodRange is about pods that have addresses of a range that was the Node's before.
	FormerPodRange = "FormerPodRange"
	// NodesUnreachable is about other nodes to whose pods no route can be made.
	NodesUnreachable = "NodesUnreachable"
	// PodRangesRefused is about Nodes with ranges that are not routed because they can be no pods'.
	PodRangesRefused = "PodRangesRefused"

	// NetworkMended is about a part of the pod network that somebody took away and that was made again.
	NetworkMended = "NetworkMended"
	// ProxyRulesLost is about kube-proxy's rules that somebody took out of the kernel.
	ProxyRulesLost = "ProxyRulesLost"
	// HostPortsLost is about pods whose ports of the node were taken out of the kernel.
	HostPortsLost = "HostPortsLost"

	// Drift is about what others changed of the node and what is not, or not yet, put back.
	Drift = "Drift"
	// DriftRepaired is about what others changed of the node and what was put back.
	DriftRepaired = "DriftRepaired"
	// StatusRefused is that the API server refused a part of the status, which lacks that part.
	StatusRefused = "StatusRefused"
)
