package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// LocalMachine is a machine made of namespaces on the manager's host: Cluster API's infrastructure machine contract
// (https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:resource:categories=drover;cluster-api
// +kubebuilder:printcolumn:name="Provisioned",type=boolean,JSONPath=`.status.initialization.provisioned`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[?(@.type=="InternalIP")].address`
// +kubebuilder:printcolumn:name="PID",type=integer,JSONPath=`.status.pid`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type LocalMachine struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the machine wanted.
	// +optional
	Spec LocalMachineSpec `json:"spec,omitempty,omitzero"`

	// status is the machine there is.
	// +optional
	Status LocalMachineStatus `json:"status,omitempty,omitzero"`
}

// LocalMachineSpec is a machine wanted. Other cpus and memory count from the machine's next start, another network not at
// all: a machine keeps its address.
type LocalMachineSpec struct {
	// providerID identifies the machine, as drover-local://<namespace>/<name>. The manager sets it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	ProviderID string `json:"providerID,omitempty"`

	// cpus is how many of the host's processors' time the machine may use, and what its Node offers. On a host with
	// cgroup version 1 it binds pods only while processors are short. Default: as many as the host has, shared.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	CPUs *int32 `json:"cpus,omitempty"`

	// memory is how much of the host's memory the machine may use, and what its Node offers; from 512Mi to 64Ti.
	// Default: as much as the host has, shared.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('512Mi')) >= 0",message="a machine needs at least 512Mi of memory"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('64Ti')) <= 0",message="no machine has more than 64Ti of memory"
	Memory *resource.Quantity `json:"memory,omitempty"`

	// network says where the machine is attached.
	// +optional
	// +default={}
	Network LocalNetwork `json:"network,omitempty,omitzero"`
}

// LocalNetwork says where a local machine is attached. The bridge must be there; the manager makes none.
// +kubebuilder:validation:XValidation:rule="has(self.firstAddress) == has(self.lastAddress)",message="give both firstAddress and lastAddress, or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.firstAddress) || (isIP(self.firstAddress) && isIP(self.lastAddress) && ip(self.firstAddress).family() == 4 && ip(self.lastAddress).family() == 4)",message="firstAddress and lastAddress are IPv4 addresses"
type LocalNetwork struct {
	// bridge is the host's bridge that the machine's interface joins. Default: drover0.
	// +optional
	// +default="drover0"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`
	Bridge string `json:"bridge,omitempty"`

	// firstAddress is the first IPv4 address a machine may get, within the bridge's own subnet. Default: the tenth
	// of it.
	// +optional
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=15
	FirstAddress string `json:"firstAddress,omitempty"`

	// lastAddress is the last one. Default: the fifth before the end of the subnet.
	// +optional
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=15
	LastAddress string `json:"lastAddress,omitempty"`
}

// LocalMachineStatus is the machine there is.
type LocalMachineStatus struct {
	// conditions has Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// initialization says, once and for good, that the machine was made.
	// +optional
	Initialization LocalMachineInitialization `json:"initialization,omitempty,omitzero"`

	// addresses are the machine's addresses and its host name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Addresses []clusterv1.MachineAddress `json:"addresses,omitempty"`

	// pid is the process ID, on the host, of the machine's init.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PID *int32 `json:"pid,omitempty"`

	// bootID is new each time the machine boots.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	BootID string `json:"bootID,omitempty"`
}

// LocalMachineInitialization is the contract's part of the status about the first provisioning.
// +kubebuilder:validation:MinProperties=1
type LocalMachineInitialization struct {
	// provisioned is true once the machine runs for the first time.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// LocalMachineList is a list of LocalMachines.
// +kubebuilder:object:root=true
type LocalMachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LocalMachine `json:"items"`
}

// LocalMachineTemplate is what the LocalMachines of a pool are made from.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:resource:categories=drover;cluster-api
// +kubebuilder:printcolumn:name="CPUs",type=integer,JSONPath=`.spec.template.spec.cpus`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.template.spec.memory`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type LocalMachineTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the template. It cannot be changed: make a new one and point the pool at it.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a LocalMachineTemplate's spec cannot be changed: make a new one and point the pool's infrastructureRef at it"
	Spec LocalMachineTemplateSpec `json:"spec,omitzero"`
}

// LocalMachineTemplateSpec is what LocalMachines are made from.
type LocalMachineTemplateSpec struct {
	// template is the LocalMachine, less its name.
	// +required
	Template LocalMachineTemplateResource `json:"template,omitzero"`
}

// LocalMachineTemplateResource is a LocalMachine, less its name.
type LocalMachineTemplateResource struct {
	// metadata is put onto the LocalMachine.
	// +optional
	ObjectMeta clusterv1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the LocalMachine's spec.
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.providerID)",message="providerID is set for each machine, not in a template"
	Spec LocalMachineSpec `json:"spec,omitempty,omitzero"`
}

// LocalMachineTemplateList is a list of LocalMachineTemplates.
// +kubebuilder:object:root=true
type LocalMachineTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LocalMachineTemplate `json:"items"`
}
