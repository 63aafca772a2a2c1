package infra

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// deletions ends what is done for a machine when its object is deleted. The queue keeps the event of that until the worker
// is done that is busy with the machine, and a provider may be busy for half an hour.
type deletions struct {
	mu   sync.Mutex
	busy map[types.NamespacedName]*work
}

type work struct{ cancel context.CancelFunc }

// begin returns a context for what is done for a machine, and what to call when it is done. It is called before the object
// is read: a deletion that the read does not show ends the context.
func (d *deletions) begin(ctx context.Context, machine types.NamespacedName) (wanted context.Context, done func()) {
	wanted, cancel := context.WithCancel(ctx)
	w := &work{cancel: cancel}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy == nil {
		d.busy = map[types.NamespacedName]*work{}
	}
	d.busy[machine] = w
	return wanted, func() {
		cancel()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.busy[machine] == w {
			delete(d.busy, machine)
		}
	}
}

func (d *deletions) deleted(o client.Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.busy[client.ObjectKeyFromObject(o)]; w != nil {
		w.cancel()
	}
}

// handler hears of deletions from the cache. It queues nothing.
func (d *deletions) handler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) {
			if e.ObjectOld.GetDeletionTimestamp().IsZero() && !e.ObjectNew.GetDeletionTimestamp().IsZero() {
				d.deleted(e.ObjectNew)
			}
		},
		// Of one whose finalizers somebody took away, this may be all that there is.
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) { d.deleted(e.Object) },
	}
}
