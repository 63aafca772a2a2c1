package local

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/local/machine"
)

// watcher brings the end of a machine's process to the reconciler.
type watcher struct {
	ctx  context.Context // The manager's: watches outlive the reconcile that began them.
	host machine.Host
	ends chan<- event.GenericEvent

	mu      sync.Mutex
	watched map[types.NamespacedName]machine.Process
}

// watch begins to watch the process, once.
func (w *watcher) watch(key types.NamespacedName, p machine.Process) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[key] == p {
		return nil
	}
	gone, err := w.host.Watch(w.ctx, p)
	if err != nil {
		return err
	}
	w.watched[key] = p
	go func() {
		<-gone
		w.mu.Lock()
		if w.watched[key] == p {
			delete(w.watched, key)
		}
		w.mu.Unlock()
		ended := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		select {
		case w.ends <- event.GenericEvent{Object: ended}:
		case <-w.ctx.Done():
		}
	}()
	return nil
}
