package engine

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/controllers/consistency"
)

const (
	staleLookAgain = 5 * time.Millisecond
	// staleGiveUp is how long a reconcile waits for the cache. It then works with what there is: the API server's
	// optimistic lock still holds.
	staleGiveUp = time.Second
)

// written remembers what was last written to each Machine until the cache has seen it. Without it, a busy API server's
// late events make Cluster API repeat writes that it made a moment ago, and most of those conflict.
type written struct {
	// live reads from the API server.
	live     client.Reader
	machines consistency.Objects

	mutex sync.Mutex
	// conflicts are the Machines that somebody else wrote, of whose version we know only that it is newer.
	conflicts map[client.ObjectKey]bool
}

// record notes a Machine that a write returned, or that a write found changed.
func (w *written) record(obj client.Object, err error) {
	if err != nil && !apierrors.IsConflict(err) {
		return
	}
	if obj.GetObjectKind().GroupVersionKind().Kind != "Machine" {
		if _, ok := obj.(*clusterv1.Machine); !ok {
			return
		}
	}
	key := client.ObjectKeyFromObject(obj)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if err == nil {
		w.machines.Wrote(obj)
		delete(w.conflicts, key)
		return
	}
	w.machines.Forget(key)
	if w.conflicts == nil {
		w.conflicts = map[client.ObjectKey]bool{}
	}
	w.conflicts[key] = true
}

// get reads a Machine, and waits for the cache if it is behind our own writes. After a conflict it reads live: Cluster
// API tries again at once, and with what the cache has it would mostly fail again.
func (w *written) get(ctx context.Context, reader client.Reader, key client.ObjectKey, machine *clusterv1.Machine, opts ...client.GetOption) error {
	if w.takeConflict(key) {
		return w.live.Get(ctx, key, machine, opts...)
	}
	var err error
	_ = wait.PollUntilContextTimeout(ctx, staleLookAgain, staleGiveUp, true, func(ctx context.Context) (bool, error) {
		*machine = clusterv1.Machine{}
		if err = reader.Get(ctx, key, machine, opts...); err != nil {
			return false, err
		}
		return !w.machines.IsOlder(machine), nil
	})
	if apierrors.IsNotFound(err) {
		w.machines.Forget(key)
	}
	return err
}

// takeConflict says whether the last write conflicted, once.
func (w *written) takeConflict(key client.ObjectKey) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if !w.conflicts[key] {
		return false
	}
	delete(w.conflicts, key)
	return true
}
