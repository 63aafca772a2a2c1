// Package network makes the pods of a node reachable from the pods of the others, for nodes on one L2 segment.
//
// The pieces are a CNI configuration (bridge, host-local, portmap) for the node's own pod ranges, a route to each
// other node's ranges by its address, and an nftables table that hides pods behind the node's address when they talk to
// anything that is not a pod. Desired is a pure function from Nodes to those pieces; a Manager applies them whenever the
// Nodes change. The node's own ranges are kept on disk, so that a restarted agent has the CNI configuration in place
// without asking anyone. Routes carry a protocol number of their own, by which stale ones are found again.
//
// A Follower keeps the routes alone, on a machine that is no node and must reach pods all the same: an API server's.
package network
