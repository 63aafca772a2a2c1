package fence

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

// +kubebuilder:rbac:groups="",namespace=drover-system,resources=configmaps,verbs=get;create;patch

const (
	// Namespace is that of the ConfigMap that is the list. The admission policy names it too.
	Namespace = "drover-system"
	// Name is the ConfigMap's.
	Name = "drover-fenced-nodes"
	// capacity is how many names the list keeps, the latest: each write of it is a copy in etcd. For a node whose name
	// had to make room there is still the Reconciler, which puts it there again.
	capacity = 1000
)

// List has the names of the nodes that may not come back. It is a ConfigMap: its keys are the names, and their values
// when they got there, for people and to tell the oldest.
type List struct {
	// Workload is the side that the nodes are of.
	Workload sides.Side
	// Clock is the time. Default: the real one.
	Clock clock.PassiveClock
}

// Add puts a name onto the list. A name that is there stays as it is.
func (l List) Add(ctx context.Context, node string) error {
	list, err := l.read(ctx)
	if err != nil {
		return err
	}
	if list == nil {
		return l.begin(ctx, node)
	}
	if _, there := list.Data[node]; there {
		return nil
	}
	change := map[string]*string{node: ptr.To(l.now(list.Data))}
	for _, name := range oldest(list.Data, len(list.Data)+1-capacity) {
		change[name] = nil
	}
	body, err := json.Marshal(map[string]any{"data": change})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	// Only these keys are written, so nobody else's addition is lost.
	if err := l.Workload.Patch(ctx, list, client.RawPatch(types.MergePatchType, body)); err != nil {
		return fmt.Errorf("fence node %s: %w", node, err)
	}
	return nil
}

func (l List) begin(ctx context.Context, node string) error {
	list := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name, Labels: map[string]string{v1alpha1.ManagedLabel: "true"}},
		Data:       map[string]string{node: l.now(nil)},
	}
	if err := l.Workload.Create(ctx, list); err != nil {
		return fmt.Errorf("fence node %s: %w", node, err)
	}
	return nil
}

// Has says whether a name is on the list.
func (l List) Has(ctx context.Context, node string) (bool, error) {
	list, err := l.read(ctx)
	if err != nil || list == nil {
		return false, err
	}
	_, there := list.Data[node]
	return there, nil
}

// Names are all that are on the list.
func (l List) Names(ctx context.Context) ([]string, error) {
	list, err := l.read(ctx)
	if err != nil || list == nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(list.Data)), nil
}

// read is the list as it is now, or nil. Nothing is cached: it is looked at when a machine comes or goes, and seldom else.
func (l List) read(ctx context.Context) (*corev1.ConfigMap, error) {
	return lookup.GetOrNil(ctx, l.Workload.Live, types.NamespacedName{Namespace: Namespace, Name: Name}, &corev1.ConfigMap{})
}

// now is the time for a name that comes to those there are. Managers on other machines wrote theirs by clocks of their own:
// if one of those was ahead of ours, the time is as late as the latest, so that the name is not one of the oldest.
func (l List) now(there map[string]string) string {
	now := time.Now()
	if l.Clock != nil {
		now = l.Clock.Now()
	}
	for _, text := range there {
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(now) {
			now = at
		}
	}
	return now.UTC().Format(time.RFC3339)
}

// oldest are the n names that have been there for longest.
func oldest(data map[string]string, n int) []string {
	if n <= 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(data), func(a, b string) int {
		return cmp.Or(cmp.Compare(data[a], data[b]), cmp.Compare(a, b))
	})
	return names[:n]
}
