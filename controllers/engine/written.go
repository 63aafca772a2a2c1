package engine

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	live client.Reader

	mutex    sync.Mutex
	versions map[client.ObjectKey]string
}

// conflicted stands for the version of a Machine that somebody else wrote, of which we know only that it is newer.
const conflicted = ""

// record notes a Machine that a write returned, or that a write found changed.
func (w *written) record(obj client.Object, err error) {
	version := obj.GetResourceVersion()
	if apierrors.IsConflict(err) {
		version = conflicted
	} else if err != nil {
		return
	}
	if obj.GetObjectKind().GroupVersionKind().Kind != "Machine" {
		if _, ok := obj.(*clusterv1.Machine); !ok {
			return
		}
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.versions == nil {
		w.versions = map[client.ObjectKey]string{}
	}
	w.versions[client.ObjectKeyFromObject(obj)] = version
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
		return w.seen(key, machine.ResourceVersion), nil
	})
	if apierrors.IsNotFound(err) {
		w.seen(key, "")
	}
	return err
}

// takeConflict says whether the last write conflicted, once.
func (w *written) takeConflict(key client.ObjectKey) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	version, ok := w.versions[key]
	if !ok || version != conflicted {
		return false
	}
	delete(w.versions, key)
	return true
}

// seen says whether the version is as new as what was written, and forgets that if so. No version is newest of all:
// the Machine is gone.
func (w *written) seen(key client.ObjectKey, version string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	want, ok := w.versions[key]
	if !ok {
		return true
	}
	if version != "" {
		if order, err := resourceversion.CompareResourceVersion(version, want); err == nil && order < 0 {
			return false
		}
	}
	delete(w.versions, key)
	return true
}
