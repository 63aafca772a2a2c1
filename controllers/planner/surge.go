package planner

import (
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// maxMaxSurge is the most machines that a pool has beyond those that it wants: as many as may be named as being changed.
const maxMaxSurge = maxUpdating

// maxSurge is how many machines a pool may have beyond those that it wants, while some are replaced. A percentage is of the machines that
// it is to have, rounded up.
func maxSurge(pool *v1alpha1.NodePool) int {
	most := pool.Spec.Rollout.MaxSurge
	if most == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(most, int(wantedReplicas(pool)), true)
	if err != nil {
		return 1 // which the schema does not let in
	}
	return min(max(n, 0), maxMaxSurge)
}

// replacesAll says that no node is changed in place.
func replacesAll(pool *v1alpha1.NodePool) bool {
	return pool.Spec.Rollout.Strategy == v1alpha1.RolloutReplace
}
