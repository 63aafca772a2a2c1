package engine

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/controllers/queueing"
)

const (
	// debounce is how long an object waits after an event for more events, which arrive in bursts.
	debounce = 20 * time.Millisecond
	// machineSpacing is the least time between two reconciles of a Machine. One reconcile makes up to three patches,
	// each of which is an event, and others write to the Machine and its Node at the same time: whoever looks too
	// soon sees half of it, and writes what the next look undoes.
	machineSpacing = 500 * time.Millisecond
	// longestWait bounds the time until Cluster API looks at an object again. A drain waits 20 seconds by its own
	// account before it looks whether the last pod is gone, and 30 seconds for an object that is not in the cache yet.
	// Of a drain that is stuck, longestDrainWait speaks.
	longestWait = 5 * time.Second

	// A Cluster counts its Machines in its status, and each count is an event: it gets few reconciles at once, enough
	// to be adopted, and then one at this interval.
	clusterInterval = 2 * time.Second
	clusterBurst    = 8
)

// queue coalesces events and bounds waits. It stands in for Cluster API's limit of one reconcile per second.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	// delay is how long an event waits, taken is told when a reconcile begins.
	delay func(reconcile.Request) time.Duration
	taken func(reconcile.Request)
	// longest bounds the wait of an object that is to be looked at again. It is asked of those that would wait for longer
	// than longestWait. Default: that.
	longest func(reconcile.Request) time.Duration
}

// machineQueue makes the queue of Machines.
func machineQueue(
	name string, limiter workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	spacing := newSpacing()
	q := newQueue(name, limiter, func(item reconcile.Request) time.Duration {
		return max(debounce, spacing.wait(item, time.Now()))
	})
	q.taken = func(item reconcile.Request) { spacing.taken(item, time.Now()) }
	return q
}

// clusterQueue makes the queue of Clusters.
func clusterQueue(
	name string, limiter workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	budget := newBudget(clusterInterval, clusterBurst)
	return newQueue(name, limiter, func(item reconcile.Request) time.Duration {
		return max(debounce, budget.wait(item, time.Now()))
	})
}

func newQueue(
	name string, limiter workqueue.TypedRateLimiter[reconcile.Request], delay func(reconcile.Request) time.Duration,
) *queue {
	return &queue{delay: delay, taken: func(reconcile.Request) {}, TypedRateLimitingInterface: queueing.New(name, limiter)}
}

// Add implements workqueue.TypedInterface.
func (q *queue) Add(item reconcile.Request) {
	q.TypedRateLimitingInterface.AddAfter(item, q.delay(item))
}

// Get implements workqueue.TypedInterface.
func (q *queue) Get() (reconcile.Request, bool) {
	item, shutdown := q.TypedRateLimitingInterface.Get()
	if !shutdown {
		q.taken(item)
	}
	return item, shutdown
}

// AddAfter implements workqueue.TypedDelayingInterface.
func (q *queue) AddAfter(item reconcile.Request, wait time.Duration) {
	if wait > longestWait {
		longest := longestWait
		if q.longest != nil {
			longest = q.longest(item)
		}
		wait = min(wait, longest)
	}
	q.TypedRateLimitingInterface.AddAfter(item, wait)
}

// budget spreads the reconciles of each item over time: so many at once, and then one at an interval.
type budget struct {
	interval time.Duration
	burst    int
	mutex    sync.Mutex
	limiters map[reconcile.Request]*rate.Limiter
}

func newBudget(interval time.Duration, burst int) *budget {
	return &budget{interval: interval, burst: burst, limiters: map[reconcile.Request]*rate.Limiter{}}
}

// wait is the time until the item's next turn. It takes the turn only if that is now: events that wait for the same
// turn are one.
func (b *budget) wait(item reconcile.Request, now time.Time) time.Duration {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	limiter, ok := b.limiters[item]
	if !ok {
		limiter = rate.NewLimiter(rate.Every(b.interval), b.burst)
		b.limiters[item] = limiter
	}
	if limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - limiter.TokensAt(now)
	return time.Duration(missing * float64(b.interval))
}

// spacing remembers when each item was last reconciled, for as long as it matters.
type spacing struct {
	mutex sync.Mutex
	last  map[reconcile.Request]time.Time
	swept time.Time
}

func newSpacing() *spacing { return &spacing{last: map[reconcile.Request]time.Time{}} }

// wait is the time until the item may be reconciled again.
func (s *spacing) wait(item reconcile.Request, now time.Time) time.Duration {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.last[item].Add(machineSpacing).Sub(now)
}

func (s *spacing) taken(item reconcile.Request, now time.Time) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.last[item] = now
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	maps.DeleteFunc(s.last, func(_ reconcile.Request, last time.Time) bool { return now.Sub(last) > machineSpacing })
}
