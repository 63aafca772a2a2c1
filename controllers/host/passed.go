package host

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// preflightInterval is how long the preflight of a Host that passed it counts.
const preflightInterval = time.Hour

// passed remembers which Hosts passed the preflight of this manager's agent. Another manager's may find something else, so
// it is in no status: who leads anew looks anew.
type passed struct {
	mu    sync.Mutex
	hosts map[types.NamespacedName]pass
}

// pass is when a Host passed, as what, and what was found.
type pass struct {
	uid        types.UID
	at         time.Time
	generation int64
	facts      v1alpha1.HostFacts
}

// holds says that the preflight need not run again: what it found is there still.
func (p *passed) holds(h *v1alpha1.Host) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.hosts[client.ObjectKeyFromObject(h)]
	return known && last.uid == h.UID && last.generation == h.Generation && time.Since(last.at) < preflightInterval && equality.Semantic.DeepEqual(last.facts, h.Status.Facts) &&
		isCondition(h, v1alpha1.HostFitCondition, metav1.ConditionTrue) && isCondition(h, v1alpha1.HostCleanCondition, metav1.ConditionTrue)
}

func (p *passed) record(h *v1alpha1.Host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts == nil {
		p.hosts = map[types.NamespacedName]pass{}
	}
	p.hosts[client.ObjectKeyFromObject(h)] = pass{uid: h.UID, at: time.Now(), generation: h.Generation, facts: *h.Status.Facts.DeepCopy()}
}

func (p *passed) forget(host types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.hosts, host)
}
