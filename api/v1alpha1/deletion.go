package v1alpha1

import (
	"time"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

const (
	// DefaultVolumeDetachTimeoutSeconds is spec.disruption.volumeDetachTimeoutSeconds of a pool that does not say.
	DefaultVolumeDetachTimeoutSeconds = 300
	// nodeDeletionTimeoutSeconds is how long Cluster API tries to delete the Node of a Machine that is gone: as long
	// as it takes, because a Node left behind attracts pods.
	nodeDeletionTimeoutSeconds = 0
)

// DrainTimeout is how long a node of the pool is drained at most; zero for as long as it takes.
func (p *NodePool) DrainTimeout() time.Duration {
	return time.Duration(ptr.Deref(p.Spec.Disruption.DrainTimeoutSeconds, 0)) * time.Second
}

// MachineDeletion is how Cluster API deletes the pool's Machines. Without a drain timeout that field is left out: a drain waits for
// PodDisruptionBudgets as long as they ask for.
func (p *NodePool) MachineDeletion() clusterv1.MachineDeletionSpec {
	spec := clusterv1.MachineDeletionSpec{
		NodeVolumeDetachTimeoutSeconds: ptr.To(ptr.Deref(p.Spec.Disruption.VolumeDetachTimeoutSeconds, DefaultVolumeDetachTimeoutSeconds)),
		NodeDeletionTimeoutSeconds:     ptr.To[int32](nodeDeletionTimeoutSeconds),
	}
	if p.DrainTimeout() > 0 {
		spec.NodeDrainTimeoutSeconds = ptr.To(*p.Spec.Disruption.DrainTimeoutSeconds)
	}
	return spec
}
