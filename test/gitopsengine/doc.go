// Package gitopsengine tries what Argo CD does with pools that lie in Git with Argo CD's own engine, in a real cluster (test/cluster): it
// applies them, client-side and server-side, compares, heals what somebody edited by hand, and prunes.
package gitopsengine
