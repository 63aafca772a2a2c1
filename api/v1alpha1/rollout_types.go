package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NodePoolRollout is how a change of a pool's template reaches the nodes there are.
type NodePoolRollout struct {
	// maxUnavailable is how many nodes may be unavailable at once for one more to be changed: a number, or a percentage of
	// spec.replicas, rounded down. A percentage that rounds to nothing is one node, and more than 1000 are 1000. Nodes that
	// are changed count, those that run the present template and are not well, and those that are being deleted, by whomever;
	// a broken one of an older template is among the next to be changed. While it is lowered below what is under way, no
	// other change begins. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 10000 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable is a number from 1 to 10000, or a percentage from 1% to 100%: with none, no node could be changed"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// minReadySeconds is how long a node has to stay well after it runs a change, proved it and its Machine is Ready, before the
	// change counts as over and the next may begin: time for what only shows under load. A node that falls ill meanwhile begins
	// anew. Up to a day. Default: 0.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	MinReadySeconds *int32 `json:"minReadySeconds,omitempty"`
}

// NodePoolRolloutStatus is how far a rollout is.
type NodePoolRolloutStatus struct {
	// ready are those of the pool's updating machines that run what they were told and are well, and that have to stay so for
	// rollout.minReadySeconds.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Ready []ReadyMachine `json:"ready,omitempty"`
}

// ReadyMachine is a machine that is well.
type ReadyMachine struct {
	// name is the Machine's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// since is when it was seen to be well first.
	// +required
	Since metav1.Time `json:"since,omitempty,omitzero"`
}
