package engine

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/controllers/evictions"
)

// longestDrainWait bounds the time until a drain is tried again that only refused evictions hold: Cluster API's own 20
// seconds. Each try asks for every one of these evictions again, on each node that is drained.
const longestDrainWait = 20 * time.Second

// newQueueFunc makes a controller's queue.
type newQueueFunc = func(string, workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request]

// waitingForDrains makes queues of Machines in which a stuck drain has the longer wait.
func waitingForDrains(ctx context.Context, machines client.Reader, of newQueueFunc) newQueueFunc {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
		made := of(name, limiter)
		if q, ok := made.(*queue); ok {
			q.longest = func(item reconcile.Request) time.Duration { return longest(ctx, machines, item) }
		}
		return made
	}
}

// longest is the longest wait of a Machine, by its condition Deleting.
func longest(ctx context.Context, machines client.Reader, item reconcile.Request) time.Duration {
	machine := &clusterv1.Machine{}
	if err := machines.Get(ctx, item.NamespacedName, machine); err != nil {
		return longestWait
	}
	c := meta.FindStatusCondition(machine.Status.Conditions, clusterv1.MachineDeletingCondition)
	if c != nil && c.Status == metav1.ConditionTrue && c.Reason == clusterv1.MachineDeletingDrainingNodeReason && evictions.Read(c.Message).Stuck() {
		return longestDrainWait
	}
	return longestWait
}
