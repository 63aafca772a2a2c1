package nodepool

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/controllers/planner"
)

// refusals remembers for a while what the API server refused to each pool, so that a create that a quota forbids is not
// tried at the speed of events. A change of the pool or of its template ends that. The zero value is ready for use.
type refusals struct {
	mu    sync.Mutex
	pools map[types.NamespacedName]refusal
}

type refusal struct {
	asked         string
	name, message string
	until         time.Time
}

// asked is what a refusal was the answer to.
func asked(seen *observation) string {
	what := fmt.Sprintf("%s/%d %s", seen.Pool.UID, seen.Pool.Generation, seen.Revision)
	if seen.template != nil {
		what += fmt.Sprintf(" %s/%d", seen.template.GetUID(), seen.template.GetGeneration())
	}
	return what
}

// remember keeps the first failure that time does not heal.
func (r *refusals) remember(seen *observation, failures []planner.Failure) {
	i := slices.IndexFunc(failures, func(f planner.Failure) bool { return !f.Passing })
	if i < 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pools == nil {
		r.pools = map[types.NamespacedName]refusal{}
	}
	r.pools[client.ObjectKeyFromObject(seen.Pool)] = refusal{
		asked: asked(seen), name: failures[i].Name, message: failures[i].Message, until: seen.Now.Add(retryRefused),
	}
}

// lately is what was refused to the pool, as it is, and is not to be tried again yet; nil when there is nothing.
func (r *refusals) lately(seen *observation) *planner.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.pools[client.ObjectKeyFromObject(seen.Pool)]
	left := last.until.Sub(seen.Now)
	if !ok || left <= 0 || last.asked != asked(seen) {
		return nil
	}
	return &planner.Refusal{Name: last.name, Message: last.message, Until: last.until}
}

// forget drops what is remembered about a pool that is gone.
func (r *refusals) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pools, key)
}
