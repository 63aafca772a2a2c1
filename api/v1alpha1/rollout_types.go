package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

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
}
