package nodepool

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// readLiveAfter is how long the cache may be behind before the API server is asked instead. A write can be
// overtaken: a Machine that was made and is gone again never shows.
const readLiveAfter = 10 * time.Second

// written remembers what was written for each pool until the cache shows it, so that no decision rests on less than
// we know (see util/controller/consistency.go of Cluster API for the same idea). The zero value is ready for use.
type written struct {
	mu    sync.Mutex
	pools map[types.NamespacedName]*writes
}

type writes struct {
	uid         types.UID
	poolVersion string
	created     map[string]bool
	deleted     map[types.UID]string
	since       time.Time
}

func (w *written) of(pool *v1alpha1.NodePool) *writes {
	key := client.ObjectKeyFromObject(pool)
	if w.pools == nil {
		w.pools = map[types.NamespacedName]*writes{}
	}
	if w.pools[key] == nil || w.pools[key].uid != pool.UID {
		w.pools[key] = &writes{uid: pool.UID, created: map[string]bool{}, deleted: map[types.UID]string{}}
	}
	return w.pools[key]
}

// pool remembers that the pool was written, with the result of the write.
func (w *written) pool(pool *v1alpha1.NodePool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of(pool).poolVersion = pool.ResourceVersion
}

// machineCreated remembers that a Machine was made.
func (w *written) machineCreated(pool *v1alpha1.NodePool, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of(pool).created[name] = true
}

// machineDeleted remembers that a Machine's deletion was asked for.
func (w *written) machineDeleted(pool *v1alpha1.NodePool, name string, uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of(pool).deleted[uid] = name
}

// forget drops what is remembered about a pool that is gone.
func (w *written) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pools, key)
}

// confirm drops what a read from the API server shows to be over: Machines that were made, or whose deletion was asked
// for, and that are gone. The cache will never show these.
func (w *written) confirm(pool *v1alpha1.NodePool, machines []*clusterv1.Machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := w.of(pool)
	names, uids := map[string]bool{}, map[types.UID]bool{}
	for _, m := range machines {
		names[m.Name], uids[m.UID] = true, true
	}
	maps.DeleteFunc(mine.created, func(name string, _ bool) bool { return !names[name] })
	maps.DeleteFunc(mine.deleted, func(uid types.UID, _ string) bool { return !uids[uid] })
}

// behind names a write that the cached pool and Machines do not show; overdue says that it took too long.
func (w *written) behind(pool *v1alpha1.NodePool, machines []*clusterv1.Machine, now time.Time) (what string, overdue bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := w.of(pool)
	what = mine.behind(pool, machines)
	if what == "" {
		mine.since = time.Time{}
		return "", false
	}
	if mine.since.IsZero() {
		mine.since = now
	}
	return what, now.Sub(mine.since) > readLiveAfter
}

func (w *writes) behind(pool *v1alpha1.NodePool, machines []*clusterv1.Machine) string {
	if w.poolVersion != "" {
		if order, err := resourceversion.CompareResourceVersion(pool.ResourceVersion, w.poolVersion); err == nil && order < 0 {
			return "the pool's own status"
		}
		w.poolVersion = ""
	}
	active := make(map[types.UID]bool, len(machines))
	for _, m := range machines {
		delete(w.created, m.Name)
		if m.DeletionTimestamp.IsZero() {
			active[m.UID] = true
		}
	}
	for name := range w.created {
		return fmt.Sprintf("the creation of Machine %s", name)
	}
	for uid, name := range w.deleted {
		if active[uid] {
			return fmt.Sprintf("the deletion of Machine %s", name)
		}
		delete(w.deleted, uid)
	}
	return ""
}
