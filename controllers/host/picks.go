package host

import (
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/consistency"
)

// picks keeps the machines of one manager out of each other's way. What it does not know costs another try, no more: a
// claim is the Host's own.
type picks struct {
	mu sync.Mutex
	// picked are the Hosts that a machine is about to claim.
	picked map[types.NamespacedName]bool
	// claimed are those whose claim the cache may not have yet.
	claimed consistency.Objects
}

// pick chooses a Host that no other machine has picked, until it is dropped.
func (p *picks) pick(hosts []v1alpha1.Host, selector labels.Selector) (name types.NamespacedName, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	chosen, why := choose(hosts, selector, func(h *v1alpha1.Host) bool {
		return p.picked[client.ObjectKeyFromObject(h)] || p.claimed.IsOlder(h)
	})
	if chosen == nil {
		return name, why
	}
	if p.picked == nil {
		p.picked = map[types.NamespacedName]bool{}
	}
	name = client.ObjectKeyFromObject(chosen)
	p.picked[name] = true
	return name, ""
}

func (p *picks) drop(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.picked, name)
}
