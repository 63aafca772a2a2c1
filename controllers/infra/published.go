package infra

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Published brings machines back whose bootstrap Secret was written by this process. To watch Secrets takes the right to
// list them, and with it that to read them all.
type Published struct {
	mu     sync.Mutex
	queues []workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// Tell brings back the infrastructure machine of that name, of whatever kind it is.
func (p *Published) Tell(machine types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, queue := range p.queues {
		queue.Add(reconcile.Request{NamespacedName: machine})
	}
}

// start is a source. What was told before is not lost: at the start every machine is looked at.
func (p *Published) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queues = append(p.queues, queue)
	return nil
}
