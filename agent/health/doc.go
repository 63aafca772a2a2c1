// Package health says how well a node's software does its work, and by what evidence.
//
// A Probe asks one part of the node a question it can only answer when it works: the runtime over its socket, the
// kubelet and kube-proxy over their health endpoints, the disk, the clock. A Monitor asks in turns, at once when the
// supervisor saw a change, and keeps the conditions of a NodeAgent. Their messages hold no figure that moves by
// itself, so that a condition changes only when something did.
package health
