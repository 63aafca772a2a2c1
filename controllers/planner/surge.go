package planner

import "github.com/drover-dev/drover/api/v1alpha1"

// maxMaxSurge is the most machines that a pool has beyond those that it wants: as many as may be named as being changed.
const maxMaxSurge = maxUpdating

// maxSurge is how many machines a pool may have beyond those that it wants, while some are replaced. A percentage is of the machines that
// it is to have, rounded up.
func maxSurge(pool *v1alpha1.NodePool) int {
	return min(max(scaled(pool.Spec.Rollout.MaxSurge, int(wantedReplicas(pool)), true), 0), maxMaxSurge)
}

// replacesAll says that no node is changed in place.
func replacesAll(pool *v1alpha1.NodePool) bool {
	return pool.Spec.Rollout.Strategy == v1alpha1.RolloutReplace
}
