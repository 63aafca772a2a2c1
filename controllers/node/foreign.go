package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// Foreign says why the Node of a Machine's name is somebody else's, or "". Both creations are by the API server's clock.
// Once Cluster API has found the Node by its provider ID, its age says nothing: that clock may have been set back in
// between.
func Foreign(machine *clusterv1.Machine, node *corev1.Node) string {
	nodeID, machineID := node.Spec.ProviderID, machine.Spec.ProviderID
	switch {
	case !machine.Status.NodeRef.IsDefined() && node.CreationTimestamp.Before(&machine.CreationTimestamp):
		return "it is older"
	case nodeID != "" && machineID != "" && nodeID != machineID:
		return fmt.Sprintf("it has provider ID %s, not %s", nodeID, machineID)
	}
	return ""
}
