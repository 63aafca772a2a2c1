package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// HostMachine is a machine made of a Host that was free and fit: Cluster API's infrastructure machine contract
// (https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:resource:categories=drover;cluster-api
// +kubebuilder:printcolumn:name="Provisioned",type=boolean,JSONPath=`.status.initialization.provisioned`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.host`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[?(@.type=="InternalIP")].address`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type HostMachine struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the machine wanted.
	// +optional
	Spec HostMachineSpec `json:"spec,omitempty,omitzero"`

	// status is the machine there is.
	// +optional
	Status HostMachineStatus `json:"status,omitempty,omitzero"`
}

// HostMachineSpec is a machine wanted.
type HostMachineSpec struct {
	// providerID identifies the machine, as drover-host://<namespace>/<name>. The manager sets it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	ProviderID string `json:"providerID,omitempty"`

	// hostSelector selects the Hosts of the namespace that the machine may be made of, by their labels. Default: all.
	// +optional
	HostSelector metav1.LabelSelector `json:"hostSelector,omitempty,omitzero"`

	// provisioningTimeoutSeconds is how long a Host that was claimed may fail to become a node's. After that it is released,
	// cleaned and put into quarantine, and another one is claimed. Counted by the manager from when it first failed.
	// Default: 1800.
	// +optional
	// +default=1800
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	ProvisioningTimeoutSeconds *int32 `json:"provisioningTimeoutSeconds,omitempty"`

	// unreachableTimeoutSeconds is how long the removal of the machine waits for a Host that cannot be reached. After
	// that the machine is gone for the cluster; the Host stays claimed, and is cleaned before all else when it comes
	// back. Default: 600.
	// +optional
	// +default=600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	UnreachableTimeoutSeconds *int32 `json:"unreachableTimeoutSeconds,omitempty"`

	// cleanup says what becomes of the server when this machine releases it: Reset or Manual. Default: what its Host says.
	// +optional
	// +kubebuilder:validation:Enum=Reset;Manual
	Cleanup HostCleanup `json:"cleanup,omitempty"`
}

// HostMachineStatus is the machine there is.
type HostMachineStatus struct {
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
	Initialization HostMachineInitialization `json:"initialization,omitempty,omitzero"`

	// host names the Host that the machine is made of.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// addresses are the machine's addresses and its host name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Addresses []clusterv1.MachineAddress `json:"addresses,omitempty"`
}

// HostMachineInitialization is the contract's part of the status about the first provisioning.
// +kubebuilder:validation:MinProperties=1
type HostMachineInitialization struct {
	// provisioned is true once the agent is installed and runs for the first time.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// HostMachineList is a list of HostMachines.
// +kubebuilder:object:root=true
type HostMachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HostMachine `json:"items"`
}

// HostMachineTemplate is what the HostMachines of a pool are made from.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:resource:categories=drover;cluster-api
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type HostMachineTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the template. It cannot be changed: make a new one and point the pool at it.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a HostMachineTemplate's spec cannot be changed: make a new one and point the pool's infrastructureRef at it"
	Spec HostMachineTemplateSpec `json:"spec,omitzero"`
}

// HostMachineTemplateSpec is what HostMachines are made from.
type HostMachineTemplateSpec struct {
	// template is the HostMachine, less its name.
	// +required
	Template HostMachineTemplateResource `json:"template,omitzero"`
}

// HostMachineTemplateResource is a HostMachine, less its name.
type HostMachineTemplateResource struct {
	// metadata is put onto the HostMachine.
	// +optional
	ObjectMeta clusterv1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the HostMachine's spec.
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.providerID)",message="providerID is set for each machine, not in a template"
	Spec HostMachineSpec `json:"spec,omitempty,omitzero"`
}

// HostMachineTemplateList is a list of HostMachineTemplates.
// +kubebuilder:object:root=true
type HostMachineTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HostMachineTemplate `json:"items"`
}
