// Package nodepool brings the machines of one NodePool to what its spec says: observe, plan, apply, report.
//
//   - observe.go, resolve.go and revision.go read everything a decision depends on into one planner.Snapshot. They
//     write nothing.
//   - Package planner decides.
//   - agents.go and serverversion.go read what the plan for nodes that are there depends on.
//   - update.go and drain.go change these nodes.
//   - apply.go, create.go and finalize.go do what it decided. Each write may be repeated after a crash.
//   - report.go writes the status, if it changed, and the events.
//
// A Machine belongs to a pool by its label with the pool's UID. Its owner references (the pool, and the Cluster, which
// stays) are for people and for Argo CD; because of the second one the garbage collector never deletes a Machine, not
// even when the pool is deleted in the foreground. At most it takes away the reference to the pool, which is not put back. The pool's own finalizer does that, so that every node is drained.
package nodepool
