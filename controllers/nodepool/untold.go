package nodepool

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// untold remembers of each pool what was not told because the write of its status failed. If it was not made, the next round
// finds the same new. But the answer alone may have been lost: then nobody would ever tell it. The zero value is ready for
// use. A manager that ends in between tells nothing: the status says it.
type untold struct {
	mu    sync.Mutex
	pools map[types.NamespacedName]unansweredWrite
}

type unansweredWrite struct {
	status v1alpha1.NodePoolStatus
	events []planner.Event
}

// keep remembers the events of a write that failed.
func (u *untold) keep(pool types.NamespacedName, status v1alpha1.NodePoolStatus, events []planner.Event) {
	if len(events) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pools == nil {
		u.pools = map[types.NamespacedName]unansweredWrite{}
	}
	u.pools[pool] = unansweredWrite{status, events}
}

// take hands out the events of a write that failed, if the pool's status shows that it was made.
func (u *untold) take(pool types.NamespacedName, status v1alpha1.NodePoolStatus) []planner.Event {
	u.mu.Lock()
	defer u.mu.Unlock()
	last, ok := u.pools[pool]
	delete(u.pools, pool)
	if !ok || !equality.Semantic.DeepEqual(last.status, status) {
		return nil
	}
	return last.events
}

// forget drops what is remembered about a pool that is gone.
func (u *untold) forget(pool types.NamespacedName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pools, pool)
}
