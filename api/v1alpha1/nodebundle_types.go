package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeBundle says which artifact, named by its digest, holds what a node of one Kubernetes version runs.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=dnb,categories=drover
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.kubernetesVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NodeBundle struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the bundle. It cannot be changed: make a new NodeBundle.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a NodeBundle's spec cannot be changed: make a new NodeBundle"
	Spec NodeBundleSpec `json:"spec,omitzero"`
}

// NodeBundleSpec is one Kubernetes version's artifacts.
type NodeBundleSpec struct {
	// kubernetesVersion is the version of the kubelet and kube-proxy in the bundle, such as v1.37.2.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(-[0-9A-Za-z.-]+)?$`
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// artifacts are the bundle's images, one for each architecture.
	// +required
	// +listType=map
	// +listMapKey=architecture
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Artifacts []Artifact `json:"artifacts,omitempty"`
}

// Artifact is an OCI image for one architecture.
type Artifact struct {
	// architecture is Go's name for it: amd64, arm64.
	// +required
	// +kubebuilder:validation:Enum=amd64;arm64;ppc64le;riscv64;s390x
	Architecture string `json:"architecture,omitempty"`

	// image names the OCI image by digest: registry/repository@sha256:….
	// +required
	// +kubebuilder:validation:MinLength=73
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9.:-]*(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[a-f0-9]{64}$`
	Image string `json:"image,omitempty"`
}

// NodeBundleList is a list of NodeBundles.
// +kubebuilder:object:root=true
type NodeBundleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeBundle `json:"items"`
}
