package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// Drained says whether Cluster API is done with what it does on a deleted Machine's node: pods are evicted, volumes
// detached, hooks answered. From then on the infrastructure machine may go. When a namespace is deleted, its
// infrastructure machines are deleted together with the Machines, and only this tells when.
func Drained(machine *clusterv1.Machine) bool {
	if machine.DeletionTimestamp.IsZero() {
		return false
	}
	deleting := meta.FindStatusCondition(machine.Status.Conditions, clusterv1.MachineDeletingCondition)
	if deleting == nil {
		return false
	}
	switch deleting.Reason {
	case clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason, clusterv1.MachineDeletingWaitingForBootstrapDeletionReason,
		clusterv1.MachineDeletingDeletingNodeReason, clusterv1.MachineDeletingDeletionCompletedReason:
		return true
	}
	return false
}
