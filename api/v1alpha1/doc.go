// Package v1alpha1 holds the kinds of Drover's API, group fleet.drover.dev.
//
// A user writes NodePools, NodeBundles and LocalMachineTemplates; the manager writes the rest. On each
// node the agent reads the spec of the NodeAgent named as the node and writes that object's status.
// Everything the manager and the agent must agree on (the desired state of a node, the bootstrap data,
// names, labels, condition types and reasons) is here, because neither imports the other.
//
// A spec has closed lists of words, so that a mistake is refused. A status has none, only bounds: an agent or a manager may be
// newer than the kinds that the API server has, and its whole report would be refused for one word. Whoever reads a word
// that it does not know takes it for none of those that it does.
//
// +kubebuilder:object:generate=true
// +groupName=fleet.drover.dev
package v1alpha1
