package nodeagent

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// written remembers the version of each object that our last write made, so that a cache which has yet to show that
// write does not have us write and tell the same again. The zero value is ready for use.
type written struct {
	mutex    sync.Mutex
	versions map[types.UID]string
}

// remember notes the version that a write returned.
func (w *written) remember(uid types.UID, version string) {
	if version == "" {
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.versions == nil {
		w.versions = map[types.UID]string{}
	}
	w.versions[uid] = version
}

// isOlder says whether the object is from before our last write to it, whose event will come. It forgets the write
// once it has been seen.
func (w *written) isOlder(object client.Object) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	version, ok := w.versions[object.GetUID()]
	if !ok {
		return false
	}
	if order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), version); err == nil && order < 0 {
		return true
	}
	delete(w.versions, object.GetUID())
	return false
}
