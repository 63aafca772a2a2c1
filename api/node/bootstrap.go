package node

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// BootstrapKind is the kind in the TypeMeta of a Bootstrap.
const BootstrapKind = "Bootstrap"

// Bootstrap is the document that makes a machine a node. It is no kind of the API: a Machine's bootstrap Secret has
// it, as JSON under v1alpha1.BootstrapSecretKey, and the infrastructure provider puts it on the machine as BootstrapPath.
type Bootstrap struct {
	metav1.TypeMeta `json:",inline"`

	// NodeName is the name of the Node, the Machine and the NodeAgent.
	NodeName string `json:"nodeName"`
	// ProviderID is the Node's provider ID. The infrastructure provider fills it in where it alone knows it; left
	// empty, a cloud controller manager sets it.
	ProviderID string `json:"providerID,omitempty"`
	// Token is the join token, "<6 characters>.<16 characters>". It is good for one certificate request. Secret.
	Token string `json:"token"`
	// Taints are on the Node from the moment it registers.
	Taints []v1alpha1.Taint `json:"taints,omitempty"`
	// Spec is the desired state to start with, equal to the NodeAgent's when that was made.
	Spec v1alpha1.NodeAgentSpec `json:"spec"`
}

// BootReport is what an agent without an identity leaves at BootReportPath.
type BootReport struct {
	// Phase is the step that is under way or failed.
	Phase string `json:"phase"`
	// Reason is a condition reason when Phase failed, empty otherwise.
	Reason string `json:"reason,omitempty"`
	// Message says what failed and what to do about it.
	Message string `json:"message,omitempty"`
	// Time is when this was written.
	Time metav1.Time `json:"time"`
}
