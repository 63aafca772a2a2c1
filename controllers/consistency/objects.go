package consistency

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patience is how long a cache may be behind a write. After it, the cache is believed, or the API server asked: an
// event may never come, as when a Machine that was made is gone again, or the API server's data was restored.
const Patience = 10 * time.Second

// Objects remembers the version of each object that our last write made, until it is seen, or for Patience and a little: an
// object that goes before it is looked at again is not remembered for ever. All objects are of one kind, or are told apart by
// their names. The zero value is ready for use.
type Objects struct {
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	mu     sync.Mutex
	writes map[types.NamespacedName]write
	// swept is when writes were gone through last, for those that count no more.
	swept time.Time
}

type write struct {
	uid     types.UID
	version string
	at      time.Time
}

// Wrote remembers an object as a write returned it.
func (o *Objects) Wrote(object client.Object) {
	if object.GetResourceVersion() == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	o.sweep(now)
	if o.writes == nil {
		o.writes = map[types.NamespacedName]write{}
	}
	o.writes[client.ObjectKeyFromObject(object)] = write{uid: object.GetUID(), version: object.GetResourceVersion(), at: now}
}

// sweep drops the writes that count no more. It goes through them once in Patience, so that a write costs no more where they
// are many.
func (o *Objects) sweep(now time.Time) {
	if now.Sub(o.swept) <= Patience {
		return
	}
	maps.DeleteFunc(o.writes, func(_ types.NamespacedName, w write) bool { return now.Sub(w.at) > Patience })
	o.swept = now
}

// IsOlder says whether the object is from before our last write to it, whose event will come. It forgets the write once
// it has been seen, or after Patience.
func (o *Objects) IsOlder(object client.Object) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	last, ok := o.writes[key]
	if !ok {
		return false
	}
	if last.uid == object.GetUID() && older(object, last.version) && o.now().Sub(last.at) <= Patience {
		return true
	}
	delete(o.writes, key)
	return false
}

// Forget drops what is remembered about an object that is gone.
func (o *Objects) Forget(key types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.writes, key)
}

func (o *Objects) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// older says whether the object is from before that version. Versions that cannot be compared are taken for equal.
func older(object client.Object, version string) bool {
	order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), version)
	return err == nil && order < 0
}
