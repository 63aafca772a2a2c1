// Package nodes follows the cluster's Nodes: all of them for the pod network, which needs little of each, and a machine's own
// for what hangs on its being there.
package nodes
