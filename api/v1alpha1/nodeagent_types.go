package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeAgent is the desired and the observed state of one node's software. It is in the cluster the node belongs
// to and has the node's name. The manager writes the spec, that node's agent the status. Every agent can read it,
// so nothing in it is secret.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=dna,categories=drover
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Heard",type=date,JSONPath=`.status.heartbeatTime`,description="since when nothing was heard of the agent, which says every five minutes that it lives"
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`,description="Kubernetes version wanted"
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.status.agentVersion`,description="version of the agent"
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.metadata.labels.fleet\.drover\.dev/pool`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`,description="how far the revision wanted is",priority=1
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.currentRevision`,description="revision that runs",priority=1
// +kubebuilder:printcolumn:name="Failed",type=string,JSONPath=`.status.failedRevision.revision`,description="revision that was rolled back last",priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type NodeAgent struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what the node is to run, written by the manager.
	// +required
	Spec NodeAgentSpec `json:"spec,omitzero"`

	// status is what the node runs, written by its agent.
	// +optional
	Status NodeAgentStatus `json:"status,omitempty,omitzero"`
}

// NodeAgentSpec is one desired state of a node: a pool's template with the names in it resolved, and the facts of the
// cluster. A ControllerRevision holds it without those, so that upgrading Drover never changes what an existing revision
// means.
type NodeAgentSpec struct {
	// revision names what the pool's template asked for. Two specs with the same revision differ only in what is no part of
	// it: the facts of the cluster, where the bundle's images are, and, where the template names none, the agent.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// version is the Kubernetes version in the bundle.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`

	// artifacts are the bundle's images, of which the agent takes the one for its architecture.
	// +required
	// +listType=map
	// +listMapKey=architecture
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Artifacts []Artifact `json:"artifacts,omitempty"`

	// cluster is what a node must know about its cluster. The manager keeps it current on every node, whatever its revision;
	// status.clusterHash tells which facts the node goes by.
	// +required
	Cluster ClusterSettings `json:"cluster,omitzero"`

	// agent is the version of the agent itself that the node is to have: that of the pool's template. Where the template names none it
	// may be set by hand, and stays. Absent, the agent stays the one that there is. To change it is no step of a generation: status.agent
	// tells what became of it.
	// +optional
	Agent *AgentRelease `json:"agent,omitempty"`

	// repair is what the agent is to do about the node, which is unhealthy: the request that was made last, which stays. It is no part of
	// a revision, and no step of a generation: status.repair tells what became of it.
	// +optional
	Repair *RepairRequest `json:"repair,omitempty"`

	NodeSettings `json:",inline"`
}

// AgentRelease is a version of the agent's program.
type AgentRelease struct {
	// version is what people call it. The program that runs says its own in status.agentVersion.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// artifacts are the program's images, of which the agent takes the one for its architecture.
	// +required
	// +listType=map
	// +listMapKey=architecture
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Artifacts []Artifact `json:"artifacts,omitempty"`
}

// ClusterSettings is what a node must know about its cluster.
type ClusterSettings struct {
	// server is the API server's URL as nodes reach it.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https://[^\s]+$`
	Server string `json:"server,omitempty"`

	// serverCA is the PEM bundle the API server's certificate is checked with.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	ServerCA string `json:"serverCA,omitempty"`

	// clientCA is the PEM bundle the kubelet checks its clients' certificates with.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	ClientCA string `json:"clientCA,omitempty"`

	// dnsServers are the addresses of the cluster's DNS service.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=2
	// +kubebuilder:validation:items:MaxLength=45
	DNSServers []string `json:"dnsServers,omitempty"`

	// dnsDomain is the domain of the cluster's DNS names.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	DNSDomain string `json:"dnsDomain,omitempty"`

	// serviceCIDRs are the ranges of Service addresses.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=4
	// +kubebuilder:validation:items:MaxLength=49
	ServiceCIDRs []string `json:"serviceCIDRs,omitempty"`

	// podCIDRs are the ranges that nodes' pod ranges are taken from. Traffic of pods to addresses outside of them
	// leaves with the node's address.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=4
	// +kubebuilder:validation:items:MaxLength=49
	PodCIDRs []string `json:"podCIDRs,omitempty"`
}

// NodeAgentStatus is what a node runs.
type NodeAgentStatus struct {
	// conditions are Ready and, one for each part of the node, RuntimeHealthy, KubeletHealthy, ProxyHealthy,
	// NetworkHealthy, DiskHealthy and ClockSynchronized. True is good in each.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that the agent has seen last, and that phase is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is how far the revision of the spec is on its way.
	// +optional
	Phase NodeAgentPhase `json:"phase,omitempty"`

	// currentRevision is the revision that the node runs.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	CurrentRevision string `json:"currentRevision,omitempty"`

	// clusterHash is the hash of the facts of the cluster (spec.cluster) that the node goes by: of the generation that runs. A
	// spec whose facts have another one is on its way, or was rolled back.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterHash string `json:"clusterHash,omitempty"`

	// previousRevision is the one that had proved itself before the current one, and that the node would go back to while the
	// current one is on probation.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PreviousRevision string `json:"previousRevision,omitempty"`

	// failedRevision is the one that was rolled back last.
	// +optional
	FailedRevision *FailedRevision `json:"failedRevision,omitempty"`

	// agentVersion is the version of the agent.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	AgentVersion string `json:"agentVersion,omitempty"`

	// agent says where the agent's program comes from. It is absent while that is the one that the machine was set up with, and
	// no other was given up.
	// +optional
	Agent *AgentProgram `json:"agent,omitempty"`

	// repair is what became of the request that spec.repair made last, as far as the agent has heard of it.
	// +optional
	Repair *RepairAnswer `json:"repair,omitempty"`

	// heartbeatTime is when the agent last said that it lives, every five minutes or so, and every 90 seconds while the node is not well.
	// +optional
	HeartbeatTime metav1.Time `json:"heartbeatTime,omitempty,omitzero"`

	// components are the parts of the node's software: containerd, kubelet, kube-proxy and network.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Components []ComponentStatus `json:"components,omitempty"`

	// findings are what the agent saw that a node needs or would be better off with: of the machine before it starts
	// anything on it, and of the pod network at any time.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Findings []Finding `json:"findings,omitempty"`

	// certificates are those that the node's software identifies itself with, and when each ends: agent, kubelet-client and
	// kubelet-serving. Each is renewed long before.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Certificates []CertificateStatus `json:"certificates,omitempty"`

	// bootTimeline says how long after the agent's start each step of joining was done.
	// +optional
	// +listType=map
	// +listMapKey=step
	// +kubebuilder:validation:MaxItems=32
	BootTimeline []BootStep `json:"bootTimeline,omitempty"`
}

// NodeAgentPhase is how far a revision is on its way to be what a node runs.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type NodeAgentPhase string

// The phases of a revision.
const (
	// PhaseStaging: the machine is checked for it and its bundle fetched, while the node runs what it ran.
	PhaseStaging NodeAgentPhase = "Staging"
	// PhaseActivating: the node's files and processes are being made its own.
	PhaseActivating NodeAgentPhase = "Activating"
	// PhaseProbation: it runs, and has yet to stay healthy for a while.
	PhaseProbation NodeAgentPhase = "Probation"
	// PhaseCommitted: it has proved itself.
	PhaseCommitted NodeAgentPhase = "Committed"
	// PhaseRolledBack: it did not, and the node runs what it ran before. It is not tried again until the spec asks for another one.
	PhaseRolledBack NodeAgentPhase = "RolledBack"
)

// FailedRevision is a revision that was rolled back, and why.
type FailedRevision struct {
	// revision is its name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// reason is that of the condition it failed by.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// message says what failed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// component is the part of the node that did not come up or stay healthy, absent where it was none of them.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Component string `json:"component,omitempty"`

	// exit is how the component's process ended last, with the end of its log; absent where it did not end.
	// +optional
	Exit *ComponentExit `json:"exit,omitempty"`

	// time is when it was rolled back.
	// +required
	Time metav1.Time `json:"time,omitempty,omitzero"`
}

// AgentProgram is where an agent's program comes from.
type AgentProgram struct {
	// digest is that of the image that the program is from which proved itself last, as spec.agent names it; absent while that is the one
	// that the machine was set up with. While another one is on trial it is that of the one before.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`

	// failed is the version that spec.agent asks for, if that was tried and given up. It is not tried again until spec.agent
	// asks for another one.
	// +optional
	Failed *FailedAgent `json:"failed,omitempty"`
}

// FailedAgent is a version of the agent that was given up, and why.
type FailedAgent struct {
	// version is its name in spec.agent.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// digest is that of its image.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`

	// reason is NotStarted, Exited or NotConfirmed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// message says what it did, or did not do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// time is when it was given up.
	// +required
	Time metav1.Time `json:"time,omitempty,omitzero"`
}

// ComponentState is the state of a component's process.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type ComponentState string

// The states of a component.
const (
	// ComponentWaiting: it waits for another component.
	ComponentWaiting ComponentState = "Waiting"
	// ComponentStarting: it was started and has not been healthy yet.
	ComponentStarting ComponentState = "Starting"
	// ComponentRunning: it runs and has been healthy since it was started.
	ComponentRunning ComponentState = "Running"
	// ComponentBackOff: it ended and is started again after a delay.
	ComponentBackOff ComponentState = "BackOff"
	// ComponentStopped: the agent stopped it.
	ComponentStopped ComponentState = "Stopped"
	// ComponentDisabled: the template turned it off.
	ComponentDisabled ComponentState = "Disabled"
)

// ComponentStatus is one part of a node's software.
type ComponentStatus struct {
	// name is containerd, kubelet, kube-proxy or network.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// version is the component's version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// state is Waiting, Starting, Running, BackOff, Stopped or Disabled.
	// +required
	State ComponentState `json:"state,omitempty"`

	// pid is the process ID, in the machine's PID namespace. The network has no process of its own.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PID *int32 `json:"pid,omitempty"`

	// restarts is how often the process ended and was started again since the machine booted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Restarts *int32 `json:"restarts,omitempty"`

	// startedAt is when the process was started.
	// +optional
	StartedAt metav1.Time `json:"startedAt,omitempty,omitzero"`

	// lastExit is how the process ended the last time.
	// +optional
	LastExit *ComponentExit `json:"lastExit,omitempty"`
}

// ComponentExit is how a process ended.
type ComponentExit struct {
	// code is the exit code. It is absent when a signal ended the process, or when it is unknown because the
	// process ended while no agent ran.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	Code *int32 `json:"code,omitempty"`

	// signal is the name of the signal that ended the process, such as SIGKILL.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Signal string `json:"signal,omitempty"`

	// reason is why the agent ended the process: Hung, because it did not answer. It is absent when the process ended by itself.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// message says more about the reason, such as for how long it did not answer, and how often it was restarted for that.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// time is when the agent saw it end.
	// +required
	Time metav1.Time `json:"time,omitempty,omitzero"`

	// logTail is the end of the component's log, with what looks like a secret taken out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	LogTail string `json:"logTail,omitempty"`
}

// The names of a node's certificates.
const (
	CertificateAgent          = "agent"
	CertificateKubeletClient  = "kubelet-client"
	CertificateKubeletServing = "kubelet-serving"
)

// CertificateStatus is a certificate on the node.
type CertificateStatus struct {
	// name is agent, kubelet-client or kubelet-serving.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// notAfter is when it ends.
	// +required
	NotAfter metav1.Time `json:"notAfter,omitempty,omitzero"`
}

// FindingSeverity says what a finding means for the node.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type FindingSeverity string

// The severities of a Finding.
const (
	// FindingError: the machine cannot be a node until this is mended.
	FindingError FindingSeverity = "Error"
	// FindingWarning: it can, with the restriction that the message names.
	FindingWarning FindingSeverity = "Warning"
	// FindingInfo: the agent adapted to it.
	FindingInfo FindingSeverity = "Info"
)

// FindingAgentUpdate is the name of the Finding that says why the agent is not the version which is asked for.
const FindingAgentUpdate = "AgentUpdate"

// Finding is something the agent saw of its machine or of the pod network.
type Finding struct {
	// name is a stable CamelCase name, such as CgroupV1 or InotifyInstances.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Name string `json:"name,omitempty"`

	// severity is Error, Warning or Info.
	// +required
	Severity FindingSeverity `json:"severity,omitempty"`

	// message says what was seen and what to do about it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// BootStep is a step of joining.
type BootStep struct {
	// step is the step's name, such as Identity, BundleReady, KubeletStarted or NodeReady.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Step string `json:"step,omitempty"`

	// milliseconds is the time from the agent's start to the end of the step.
	// +required
	// +kubebuilder:validation:Minimum=0
	Milliseconds *int64 `json:"milliseconds,omitempty"`
}

// NodeAgentList is a list of NodeAgents.
// +kubebuilder:object:root=true
type NodeAgentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeAgent `json:"items"`
}
