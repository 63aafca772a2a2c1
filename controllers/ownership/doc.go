// Package ownership keeps each Machine of a pool that pool's, whatever somebody does to its labels, its owners or its
// finalizers.
//
// Three things say whose a Machine is: the labels that its pool counts it by, the owner reference that shows it below the pool
// in trees such as Argo CD's, and its name, which has a hash of the pool's namespace and UID in it and which nobody can edit.
// The name and one of the others are enough to tell: [PoolOf] goes by them, the nodepool controller counts by them, and
// [Reconciler] puts back what is missing. Who takes away both, labels and owner reference, takes the Machine out of its pool,
// as one takes a Pod out of its ReplicaSet. It then runs on and is nobody's, which is said on it and on its Node
// (controllers/nodeagent) until it is deleted or given back.
package ownership
