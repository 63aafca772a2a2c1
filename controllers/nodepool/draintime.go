package nodepool

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/planner"
)

// drainTimes remembers since when nodes are drained that somebody else has cordoned: such a Node has no record of it. A manager that
// starts, or that has not drained a node for a while, gives it all its time again. The zero value is ready for use.
type drainTimes struct {
	mu       sync.Mutex
	machines map[types.UID]drainTime
}

type drainTime struct{ since, last time.Time }

// drainForgotten is after how long without a look a drain counts as another one. It is looked at every retryStuck, or a few of
// these later where requests fail.
const drainForgotten = 10 * retryStuck

// since is when the drain of a machine's node began that is looked at now.
func (d *drainTimes) since(machine types.UID, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.machines, func(_ types.UID, one drainTime) bool { return now.Sub(one.last) > drainForgotten })
	if d.machines == nil {
		d.machines = map[types.UID]drainTime{}
	}
	one, known := d.machines[machine]
	if !known {
		one.since = now
	}
	one.last = now
	d.machines[machine] = one
	return one.since
}

// forget has the next look begin anew.
func (d *drainTimes) forget(machine types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.machines, machine)
}

// drainedUntil is when a node of a pool is drained no longer; zero for never.
func drainedUntil(pool *v1alpha1.NodePool, since time.Time) time.Time {
	if pool.DrainTimeout() == 0 {
		return time.Time{}
	}
	return since.Add(pool.DrainTimeout())
}

// drainAnew gives the drains of a pool all their time again that was paused, or the fleet stopped, until this round: nobody asked any
// pod to go meanwhile. It comes before the status says that the pool goes on.
func (r *Reconciler) drainAnew(ctx context.Context, seen *observation) error {
	suspended := seen.Stopped != "" || ptr.Deref(seen.Pool.Spec.Paused, false)
	if suspended || !meta.IsStatusConditionTrue(seen.Pool.Status.Conditions, v1alpha1.SuspendedCondition) {
		return nil
	}
	var cordoned []planner.Action
	for _, m := range seen.Machines {
		r.draining.forget(m.UID)
		if seen.Cordoned[m.Name] {
			cordoned = append(cordoned, planner.Action{Name: m.Name})
		}
	}
	_, errs := r.forEach(ctx, cordoned, func(ctx context.Context, one planner.Action) error {
		return r.noteDrain(ctx, one.Name, r.now())
	}, never)
	return errors.Join(errs...)
}

// noteDrain notes on a Node that we cordoned since when it is drained.
func (r *Reconciler) noteDrain(ctx context.Context, name string, since time.Time) error {
	node, err := lookup.GetOrNil(ctx, r.workload().Live, types.NamespacedName{Name: name}, &corev1.Node{})
	if err != nil || node == nil || !cordonedByUs(node) {
		return err
	}
	base := node.DeepCopy()
	node.Annotations[v1alpha1.CordonedAnnotation] = since.UTC().Format(time.RFC3339)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	return ignoreGone(r.workload().Patch(ctx, node, patch), "note since when Node %s is drained", name)
}

// forcedDrains are nodes whose time to be drained was over. The zero value is ready for use.
type forcedDrains struct {
	mu   sync.Mutex
	list []planner.Drain
}

func (f *forcedDrains) add(drain planner.Drain) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, drain)
}

// of are those whose machines were changed.
func (f *forcedDrains) of(updated []planner.Action) []planner.Drain {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := func(d planner.Drain) bool {
		return slices.ContainsFunc(updated, func(a planner.Action) bool { return a.Name == d.Name })
	}
	return slices.DeleteFunc(slices.Clone(f.list), func(d planner.Drain) bool { return !changed(d) })
}
