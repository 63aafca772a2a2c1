// Package queueing says how the manager's controllers queue what they are to look at.
//
// They do without the priority queue that controller-runtime gives a controller of itself. Up to v0.24, that one can stop at
// its end with its lock held, in the middle of handing out an item that the workers, who know of the end by then, do not
// take (controller-runtime #3538). The manager then ends by its grace period, half a minute late and with an error. From
// v0.25 on the package is not needed.
package queueing

import (
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are those of a controller with so many workers.
func Options(workers int) controller.Options {
	return controller.Options{MaxConcurrentReconciles: workers, NewQueue: New}
}

// New makes a controller's queue.
func New(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return &queue{workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Name: name})}
}

// queue hands out nothing any more at its end. What waits then would be looked at with a context that is over.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// Get implements workqueue.TypedInterface.
func (q *queue) Get() (item reconcile.Request, shutdown bool) {
	item, shutdown = q.TypedRateLimitingInterface.Get()
	for !shutdown && q.ShuttingDown() {
		q.Done(item)
		item, shutdown = q.TypedRateLimitingInterface.Get()
	}
	return item, shutdown
}
