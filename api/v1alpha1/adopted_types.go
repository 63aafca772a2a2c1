package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AdoptedCluster tells Cluster API that the infrastructure of the cluster Drover runs in exists already: the
// infrastructure cluster contract (https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-cluster).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:resource:categories=drover;cluster-api
// +kubebuilder:printcolumn:name="Provisioned",type=boolean,JSONPath=`.status.initialization.provisioned`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.controlPlaneEndpoint.host`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AdoptedCluster struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is written by the manager.
	// +required
	Spec AdoptedClusterSpec `json:"spec,omitzero"`

	// status is written by the manager.
	// +optional
	Status AdoptedClusterStatus `json:"status,omitempty,omitzero"`
}

// AdoptedClusterSpec says where the API server is.
type AdoptedClusterSpec struct {
	// controlPlaneEndpoint is the API server as nodes reach it.
	// +required
	ControlPlaneEndpoint APIEndpoint `json:"controlPlaneEndpoint,omitzero"`
}

// APIEndpoint is a host and a port.
type APIEndpoint struct {
	// host is a name or an address.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Host string `json:"host,omitempty"`

	// port is a TCP port.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// AdoptedClusterStatus is the contract's status.
type AdoptedClusterStatus struct {
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

	// initialization says, once and for good, that the infrastructure exists.
	// +optional
	Initialization AdoptedClusterInitialization `json:"initialization,omitempty,omitzero"`
}

// AdoptedClusterInitialization is the contract's part of the status about the first provisioning.
// +kubebuilder:validation:MinProperties=1
type AdoptedClusterInitialization struct {
	// provisioned is true.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// AdoptedClusterList is a list of AdoptedClusters.
// +kubebuilder:object:root=true
type AdoptedClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AdoptedCluster `json:"items"`
}

// AdoptedControlPlane tells Cluster API that the control plane of the cluster Drover runs in is up and managed by
// somebody else: the control plane contract (https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane).
// Without it, deleting a Machine would skip the drain and leave its Node.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:resource:categories=drover;cluster-api
// +kubebuilder:printcolumn:name="Initialized",type=boolean,JSONPath=`.status.initialization.controlPlaneInitialized`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AdoptedControlPlane struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is written by the manager.
	// +optional
	Spec AdoptedControlPlaneSpec `json:"spec,omitempty,omitzero"`

	// status is written by the manager.
	// +optional
	Status AdoptedControlPlaneStatus `json:"status,omitempty,omitzero"`
}

// AdoptedControlPlaneSpec is what the contract asks of a control plane's spec.
// +kubebuilder:validation:MinProperties=1
type AdoptedControlPlaneSpec struct {
	// version is the API server's version when it was adopted.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
}

// AdoptedControlPlaneStatus is the contract's status.
type AdoptedControlPlaneStatus struct {
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

	// initialization says, once and for good, that the control plane answers.
	// +optional
	Initialization AdoptedControlPlaneInitialization `json:"initialization,omitempty,omitzero"`

	// externalManagedControlPlane is true: no Machines make up this control plane.
	// +optional
	ExternalManagedControlPlane *bool `json:"externalManagedControlPlane,omitempty"`

	// version is the API server's version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
}

// AdoptedControlPlaneInitialization is the contract's part of the status about the first provisioning.
// +kubebuilder:validation:MinProperties=1
type AdoptedControlPlaneInitialization struct {
	// controlPlaneInitialized is true.
	// +optional
	ControlPlaneInitialized *bool `json:"controlPlaneInitialized,omitempty"`
}

// AdoptedControlPlaneList is a list of AdoptedControlPlanes.
// +kubebuilder:object:root=true
type AdoptedControlPlaneList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AdoptedControlPlane `json:"items"`
}
