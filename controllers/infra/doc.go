// Package infra is Cluster API's contract for infrastructure machines, written once for every provider
// (https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine).
//
// A Provider knows how to make a machine, how to remove it and what its agent says before it has an identity: Ensure,
// Remove and BootReport. The Reconciler does the rest: owners, pause, the wait for bootstrap data, finalizer and provider
// ID, the wait for the drain, status, conditions, events, and when to look again.
package infra
