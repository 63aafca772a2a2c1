package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodePool is a group of worker nodes that are alike: how many, and how each is made.
//
// Its name is the value of a label on everything it makes, so it has at most 63 characters.
//
// +kubebuilder:object:root=true
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="a NodePool's name has at most 63 lower-case letters, digits and '-', because it is a label's value and the beginning of its Nodes' names"
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=dnp,categories=drover
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.spec.replicas`,description="Machines wanted"
// +kubebuilder:printcolumn:name="Current",type=integer,JSONPath=`.status.replicas`,description="Machines that exist and are to stay"
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`,description="Machines that are ready"
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.updatedReplicas`,description="Machines that run the present template"
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.template.spec.version`,description="Kubernetes version wanted"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type NodePool struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what the user wants.
	// +required
	Spec NodePoolSpec `json:"spec,omitzero"`

	// status is what the manager sees.
	// +optional
	// +default={}
	Status NodePoolStatus `json:"status,omitempty,omitzero"`
}

// NodePoolSpec is what the user wants.
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas is more than maxReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.replicas) || self.replicas >= self.minReplicas",message="replicas is less than minReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.maxReplicas) || !has(self.replicas) || self.replicas <= self.maxReplicas",message="replicas is more than maxReplicas"
type NodePoolSpec struct {
	// replicas is how many nodes the pool has. Default: 1. When it is lowered, the first to go are the Machines annotated
	// fleet.drover.dev/delete-first or cluster.x-k8s.io/delete-machine, whatever the value; then those that are not ready,
	// those of an older template, and the newest.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`

	// minReplicas is the least that replicas may be: the API server refuses less, also of kubectl scale and of what else uses the
	// scale subresource. It brings nothing about by itself. Default: none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// maxReplicas is the most that replicas may be, in the same way. Default: none but the schema's.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`

	// paused stops every change that Drover would make to the pool's machines. Status is still reported: the condition
	// Suspended, and what is left undone.
	// +optional
	Paused *bool `json:"paused,omitempty"`

	// nodeStartupTimeoutSeconds is how long a machine may take from when its Machine is made until its Node has joined:
	// for so long its join token is good without a manager to extend it, and after so long the pool says that the machine
	// has not joined. It may still join then. Give slow hosts more: time to boot, to fetch a bundle over a thin line, to
	// come up by hand. From five minutes to a day. Default: 900.
	// +optional
	// +default=900
	// +kubebuilder:validation:Minimum=300
	// +kubebuilder:validation:Maximum=86400
	NodeStartupTimeoutSeconds *int32 `json:"nodeStartupTimeoutSeconds,omitempty"`

	// rollout is how a change of template reaches the nodes there are.
	// +optional
	Rollout NodePoolRollout `json:"rollout,omitempty,omitzero"`

	// repair is what becomes of machines that are unhealthy. Default: they are left to their agents, and to you.
	// +optional
	Repair NodePoolRepair `json:"repair,omitempty,omitzero"`

	// disruption says how much of the pool may be disrupted at one time, and when.
	// +optional
	Disruption DisruptionPolicy `json:"disruption,omitempty,omitzero"`

	// template is how each node is made. A change to it reaches the nodes there are, in place and one at a time, or as many
	// as rollout allows: the next one when the last runs it and is well. At the first that went back, as the change did not
	// prove itself there, it ends until the template is another one. Labels and taints are patched onto all nodes at once.
	// For another infrastructureRef, or other content of what it names, machines are replaced: another one is made, and when it is
	// available the older one is drained and deleted.
	// +required
	Template NodeTemplate `json:"template,omitzero"`
}

// NodeTemplate is how each node of a pool is made.
type NodeTemplate struct {
	// metadata holds what the Nodes of the pool are to carry.
	// +optional
	Metadata NodeTemplateMetadata `json:"metadata,omitempty,omitzero"`

	// spec describes the machine and what runs on it.
	// +required
	Spec NodeTemplateSpec `json:"spec,omitzero"`
}

// NodeTemplateMetadata holds what the Nodes of a pool are to carry.
type NodeTemplateMetadata struct {
	// labels are put onto each Node and kept there. Those dropped here are removed from the Nodes again.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="a label's key is a name of 1 to 63 letters, digits, '-', '_' and '.', after an optional DNS name and '/'"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([a-z0-9.-]+[.])?(fleet[.]drover[.]dev|cluster[.]x-k8s[.]io)/'))",message="labels of fleet.drover.dev and cluster.x-k8s.io are set by Drover and Cluster API"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['kubernetes.io/hostname','kubernetes.io/os','kubernetes.io/arch','beta.kubernetes.io/os','beta.kubernetes.io/arch']))",message="which node it is and what kind of machine is for its kubelet to say"
	Labels map[string]LabelValue `json:"labels,omitempty"`
}

// LabelValue is the value of a label: empty, or up to 63 letters, digits, '-', '_' and '.'.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
type LabelValue string

// NodeTemplateSpec describes the machine and what runs on it.
type NodeTemplateSpec struct {
	// version is the Kubernetes version, such as v1.37.2. Exactly one NodeBundle must have it, unless bundle names one.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(-[0-9A-Za-z.-]+)?$`
	Version string `json:"version,omitempty"`

	// bundle is the name of the NodeBundle that nodes run, which must have the version above. Name it where several have that
	// version: a newer one, with a mended runc for example, reaches the nodes there are when you name that instead. A bundle of
	// another name with the same digests changes nothing. Default: the one NodeBundle that has the version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Bundle string `json:"bundle,omitempty"`

	// infrastructureRef names the infrastructure provider's machine template that machines are made from.
	// +required
	InfrastructureRef InfrastructureReference `json:"infrastructureRef,omitzero"`

	// taints are on each Node from the moment it registers, and kept there. Those dropped here are removed again. One
	// that somebody else is to take away, as a network plugin does when it is ready, comes back.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=32
	Taints []Taint `json:"taints,omitempty"`

	// agent is the version of Drover's agent on the nodes. A change of it rolls as any other does: a node runs the template when its
	// agent is this version and has proved itself, and one that went back to the agent before it ends the rollout. Pods and components
	// go on meanwhile. A new machine joins with the agent that its provider has, and changes to this one then. Absent, each node keeps
	// the agent that it has.
	// +optional
	Agent *AgentRelease `json:"agent,omitempty"`

	NodeSettings `json:",inline"`
}

// InfrastructureReference names an infrastructure provider's machine template in the pool's namespace.
type InfrastructureReference struct {
	// apiGroup is the provider's API group, such as fleet.drover.dev.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	APIGroup string `json:"apiGroup,omitempty"`

	// kind is the template's kind, such as LocalMachineTemplate. It ends in Template.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9]*Template$`
	Kind string `json:"kind,omitempty"`

	// name is the template's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name,omitempty"`
}

// Taint keeps pods off a Node that do not tolerate it.
type Taint struct {
	// key is the taint's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="a taint's key is a name of 1 to 63 letters, digits, '-', '_' and '.', after an optional DNS name and '/'"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([a-z0-9.-]+[.])?(fleet[.]drover[.]dev|cluster[.]x-k8s[.]io)/')",message="taints of fleet.drover.dev and cluster.x-k8s.io are set by Drover and Cluster API"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('node.cloudprovider.kubernetes.io/') && !(self in ['node.kubernetes.io/not-ready','node.kubernetes.io/unreachable','node.kubernetes.io/unschedulable','node.kubernetes.io/memory-pressure','node.kubernetes.io/disk-pressure','node.kubernetes.io/pid-pressure','node.kubernetes.io/network-unavailable'])",message="a Node's state is for Kubernetes to say, which would take the taint away again"
	Key string `json:"key,omitempty"`

	// value is what a toleration compares with.
	// +optional
	Value LabelValue `json:"value,omitempty"`

	// effect is what happens to pods that do not tolerate the taint.
	// +required
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect corev1.TaintEffect `json:"effect,omitempty"`
}

// NodePoolStatus is what the manager sees.
type NodePoolStatus struct {
	// conditions are Ready, Available, RolloutComplete and, while they hold, Reconciling, Stalled, Suspended, DrainBlocked and RepairFrozen,
	// and Refreshed with the annotation fleet.drover.dev/refresh-at.
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

	// replicas is how many Machines the pool has. Those that are being deleted count neither here nor in the following, as a
	// ReplicaSet does not count pods that terminate: what scales the pool reads it through the scale subresource, and
	// would take a node that is drained for one that may have pods. The message of Ready says how many are being deleted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`

	// readyReplicas is how many of them are Ready.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`

	// availableReplicas is how many of them are Available.
	// +optional
	// +kubebuilder:validation:Minimum=0
	AvailableReplicas *int32 `json:"availableReplicas,omitempty"`

	// updatedReplicas is how many of them run what the present template says, which has proved itself there.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UpdatedReplicas *int32 `json:"updatedReplicas,omitempty"`

	// unavailableReplicas is how many more would have to be Available for the pool to be complete.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UnavailableReplicas *int32 `json:"unavailableReplicas,omitempty"`

	// selector selects the pool's Machines, those being deleted included, as a label selector in its string form. A
	// HorizontalPodAutoscaler takes it for one of pods, of which it finds none: of its targets only an averageValue does, which
	// it multiplies by replicas.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Selector string `json:"selector,omitempty"`

	// revision is the revision of the present template. A Machine's label fleet.drover.dev/revision has the one it was made
	// from, its NodeAgent's spec.revision the one it is to run, and status.currentRevision there the one it runs.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// updating are the machines whose change to another revision has begun and is not over. One is named here before it is
	// changed, so that no two managers change more than rollout.maxUnavailable; it goes when it runs what it was told to and is well. One that went back
	// from the present template stays.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Updating []string `json:"updating,omitempty"`

	// rollout is how far the pool's nodes are on the way to the present template.
	// +optional
	Rollout *NodePoolRolloutStatus `json:"rollout,omitempty"`

	// repair is what is seen of the machines' health and done about it; absent unless spec.repair asks for anything.
	// +optional
	Repair *NodePoolRepairStatus `json:"repair,omitempty"`

	// disruption is what the pool's machines are spared, or do without, at present.
	// +optional
	Disruption *NodePoolDisruption `json:"disruption,omitempty"`

	// nextOrdinal is the number the next machine's name gets. It only grows, so no name is used twice.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000
	NextOrdinal *int64 `json:"nextOrdinal,omitempty"`

	// reserved is the range of ordinals whose machines are being made. It is written before they are, so that a
	// manager that starts in the middle makes these and no others.
	// +optional
	Reserved *OrdinalRange `json:"reserved,omitempty"`
}

// NodePoolDisruption is what the pool's machines are spared, or do without, at present.
type NodePoolDisruption struct {
	// allowed is how many nodes may be disrupted at one time at present, by spec.disruption.budgets, for each reason of which one of
	// these has a say now.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=8
	Allowed []AllowedDisruption `json:"allowed,omitempty"`

	// used is how many are disrupted, or not available for whatever reason, in a pool that has budgets. Machines that have yet to become
	// nodes do not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Used *int32 `json:"used,omitempty"`

	// deferred is what would be done to machines and has to wait, and for what. What passes within moments is not listed.
	// +optional
	// +listType=map
	// +listMapKey=action
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=10
	Deferred []DeferredAction `json:"deferred,omitempty"`
}

// AllowedDisruption is how many nodes may be disrupted at one time for a reason.
type AllowedDisruption struct {
	// reason is what for: Update, ScaleDown, Repair, Expiry or Refresh. Others may come.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason,omitempty"`

	// nodes is how many.
	// +required
	// +kubebuilder:validation:Minimum=0
	Nodes *int32 `json:"nodes,omitempty"`
}

// DeferredAction is what would be done to some machines and has to wait.
type DeferredAction struct {
	// action is what would be done: Create, Delete, Update, Uncordon, or Discard, which removes what was made for a machine that is
	// not wanted any more. Others may come.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Action string `json:"action,omitempty"`

	// count is to how many machines.
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int32 `json:"count,omitempty"`

	// reason is what it waits for, in one word: Paused, FleetStopped (by the annotation fleet.drover.dev/stop), Stalled (the template
	// cannot be used), Refused (by the API server), RolledBack (a machine went back from what the template says), OneAtATime,
	// MaxUnavailable (the same where more than one may be unavailable), Canary, ReplacementFirst (another machine has to be available in
	// its place), RolloutFirst (what the template asks for, before machines that expired or are refreshed), DisruptionBudget (of
	// spec.disruption.budgets), BudgetsInvalid, DoNotDisrupt (by the annotation fleet.drover.dev/do-not-disrupt on the Machine),
	// RepairFrozen (too many machines are unhealthy) or RepairHeld (by an annotation). Others may come.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason,omitempty"`

	// message says what has to happen first.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// OrdinalRange is a run of ordinals.
type OrdinalRange struct {
	// first is the first ordinal of the run.
	// +required
	// +kubebuilder:validation:Minimum=0
	First *int64 `json:"first,omitempty"`

	// count is how many there are.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Count int32 `json:"count,omitempty"`

	// revision is the revision of the template that they are made from.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// released are ordinals of the run whose Machines were made and have been deleted since. Those Machines are let go, and no
	// other is made with such an ordinal.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:Minimum=0
	Released []int64 `json:"released,omitempty"`
}

// NodePoolList is a list of NodePools.
// +kubebuilder:object:root=true
type NodePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodePool `json:"items"`
}
