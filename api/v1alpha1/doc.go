// Package v1alpha1 holds the kinds of Drover's API, group fleet.drover.dev.
//
// A user writes NodePools, NodeBundles and LocalMachineTemplates; the manager writes the rest. On each
// node the agent reads the spec of the NodeAgent named as the node and writes that object's status.
// Everything the manager and the agent must agree on (the desired state of a node, the bootstrap data,
// names, labels, condition types and reasons) is here, because neither imports the other.
//
// +kubebuilder:object:generate=true
// +groupName=fleet.drover.dev
package v1alpha1
