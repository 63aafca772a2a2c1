package nodepool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
)

// mostAlone is how many objects are read one by one. More are read with one list of all that the pool has: 1,000 nodes may be changed at
// once, and each round would ask for three objects of each.
const mostAlone = 20

// live is a kind of object that is read from the API server.
type live interface {
	client.Object
	comparable
}

// sureReads reads objects of one kind from the API server.
type sureReads[T live] struct {
	// from is the API server.
	from client.Reader
	// namespace is that of the objects; empty for kinds that have none.
	namespace string
	// list is an empty list of the kind, and blank makes an empty object.
	list  client.ObjectList
	blank func() T
	// atOnce is how many are read at a time.
	atOnce int
}

// read reads the objects of these names, those of the pool as far as their labels say that they are its. One that is gone is not among
// what it returns.
func (s sureReads[T]) read(ctx context.Context, pool *v1alpha1.NodePool, names map[string]bool) (map[string]T, error) {
	found := make(map[string]T, len(names))
	if len(names) > mostAlone {
		options := []client.ListOption{client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.PoolUIDLabel: string(pool.UID)}}
		if err := s.from.List(ctx, s.list, options...); err != nil {
			return nil, fmt.Errorf("list the %T of NodePool %s: %w", s.list, client.ObjectKeyFromObject(pool), err)
		}
		_ = meta.EachListItem(s.list, func(item runtime.Object) error { // which fails for what is no list alone
			if object, ok := item.(T); ok && names[object.GetName()] {
				found[object.GetName()] = object
			}
			return nil
		})
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(s.atOnce)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, listed := found[name]; listed {
			continue
		}
		group.Go(func() error {
			key := types.NamespacedName{Namespace: s.namespace, Name: name}
			object, err := lookup.GetOrNil(ctx, s.from, key, s.blank())
			if none := *new(T); err != nil || object == none {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = object
			return nil
		})
	}
	return found, group.Wait() //nolint:wrapcheck // each says what it is about
}
