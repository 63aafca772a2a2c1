package engine

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// debounce is how long a Machine waits after an event for more events, which arrive in bursts: one reconcile of a
	// Machine makes up to three patches, each of which is an event.
	debounce = 50 * time.Millisecond
	// longestWait bounds the time until Cluster API looks at a Machine again. A drain waits 20 seconds by its own
	// account before it looks whether the last pod is gone.
	longestWait = 5 * time.Second
)

// queue coalesces events and bounds waits. It stands in for Cluster API's limit of one reconcile per second.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func newQueue(
	name string, limiter workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return &queue{workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
		workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Name: name})}
}

// Add implements workqueue.TypedInterface.
func (q *queue) Add(item reconcile.Request) { q.TypedRateLimitingInterface.AddAfter(item, debounce) }

// AddAfter implements workqueue.TypedDelayingInterface.
func (q *queue) AddAfter(item reconcile.Request, wait time.Duration) {
	q.TypedRateLimitingInterface.AddAfter(item, min(wait, longestWait))
}
