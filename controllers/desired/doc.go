// Package desired says what a node is to run: the spec of its NodeAgent.
//
// It has two sources. A revision (a ControllerRevision) says what a pool's template asked for, with the digests that the
// names in it stood for; it never changes. What it leaves open is resolved when a spec is made: the facts of the cluster
// (where its API server is, whom to trust, DNS and ranges), and where the bundle's images are now.
package desired
