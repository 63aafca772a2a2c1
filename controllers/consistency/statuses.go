package consistency

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
)

// Statuses remembers the status that was written last for each object, so that one that somebody else wrote is told from
// our own. All objects are of one kind. The zero value is ready for use.
type Statuses[S any] struct {
	last sync.Map
}

// Writes is called before a write, as its event may be faster than the answer. The status is kept, and not changed any more.
func (s *Statuses[S]) Writes(name types.NamespacedName, status S) { s.last.Store(name, status) }

// IsOurs says whether a status is what we wrote last.
func (s *Statuses[S]) IsOurs(name types.NamespacedName, status S) bool {
	last, ok := s.last.Load(name)
	return ok && equality.Semantic.DeepEqual(last, status)
}

// Forget drops what is remembered of an object that is gone.
func (s *Statuses[S]) Forget(name types.NamespacedName) { s.last.Delete(name) }
