package sim

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// mustBeQuiet looks at what the pool came to after all faults ended.
func (w *world) mustBeQuiet() {
	for _, must := range []struct {
		invariant string
		be        func() error
	}{{BecomesItsSpec, w.isItsSpec}, {NothingLeft, w.nothingLeft}, {StatusSaysSo, w.statusSaysSo}} {
		if err := must.be(); err != nil {
			w.violate(must.invariant, "%s after all faults ended: %v", Bound, err)
			return
		}
	}
	w.tally.Quiets++
}

// isItsSpec compares the fleet with the pool's spec.
func (w *world) isItsSpec() error {
	pool := w.pool()
	if pool == nil || !pool.DeletionTimestamp.IsZero() {
		return fmt.Errorf("the pool is not there anew: %s", w.describe(pools, poolName))
	}
	if there, all, want := len(w.machines()), len(w.api.tables[machines]), int(ptr.Deref(pool.Spec.Replicas, 1)); there != want || all != want {
		return fmt.Errorf("the pool asks for %d machines; there are %d, and %d that are being deleted", want, there, all-there)
	}
	for _, m := range w.machines() {
		if err := w.runsItsSpec(pool, m.Name); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) runsItsSpec(pool *v1alpha1.NodePool, name string) error {
	machine, agent := w.machine(name), w.agent(name)
	if node := w.node(name); node == nil || node.Spec.Unschedulable {
		return fmt.Errorf("Node %s: %s", name, w.describe(nodes, name)) //nolint:staticcheck // a kind's name
	}
	if !meta.IsStatusConditionTrue(machine.Status.Conditions, "Available") || agent == nil {
		return fmt.Errorf("Machine %s is not available: %s", name, w.describe(agents, name)) //nolint:staticcheck // a kind's name
	}
	if agent.Spec.Revision != pool.Status.Revision && !w.elsewhere(machine.Labels[v1alpha1.RevisionLabel], pool.Status.Revision) {
		return fmt.Errorf("%s does not run the pool's template: %s", name, w.describe(agents, name))
	}
	return nil
}

// elsewhere says that machines of two revisions are made from other infrastructure, so that none becomes one of the other.
func (w *world) elsewhere(a, b string) bool {
	infrastructure := func(name string) string {
		if stored := of[*appsv1.ControllerRevision](w.api, revisions, v1alpha1.RevisionName(poolName, name)); stored != nil {
			return stored.Annotations[v1alpha1.InfrastructureAnnotation]
		}
		return ""
	}
	return infrastructure(a) != infrastructure(b)
}

// nothingLeft looks for what belongs to no machine.
func (w *world) nothingLeft() error {
	var errs []error
	for _, k := range []kind{infra, agents, nodes} {
		for _, object := range w.api.tables[k] {
			if node, is := object.(*corev1.Node); is && foreign(node) {
				continue
			}
			if w.machine(object.GetName()) == nil && !w.watch.excused[object.GetName()] {
				errs = append(errs, fmt.Errorf("%s %s has no Machine", k, object.GetName()))
			}
		}
	}
	return errors.Join(errs...)
}

// statusSaysSo compares the pool's status with what is so.
func (w *world) statusSaysSo() error {
	pool := w.pool()
	s, want := pool.Status, int32(len(w.machines())) //nolint:gosec // few
	rolled := true
	for _, m := range w.machines() {
		rolled = rolled && w.agent(m.Name).Spec.Revision == s.Revision
	}
	switch {
	case s.ObservedGeneration != pool.Generation:
		return fmt.Errorf("its status is of generation %d, and the pool of %d", s.ObservedGeneration, pool.Generation)
	case ptr.Deref(s.Replicas, -1) != want || ptr.Deref(s.ReadyReplicas, -1) != want || ptr.Deref(s.AvailableReplicas, -1) != want:
		return fmt.Errorf("its status does not count %d machines: %d, %d ready, %d available", want, ptr.Deref(s.Replicas, -1), ptr.Deref(s.ReadyReplicas, -1), ptr.Deref(s.AvailableReplicas, -1))
	case len(s.Updating) > 0 || s.Reserved != nil:
		return fmt.Errorf("its status has something under way: %s", w.describe(pools, poolName))
	case rolled && !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ReadyCondition):
		return fmt.Errorf("it is not Ready: %+v", meta.FindStatusCondition(s.Conditions, v1alpha1.ReadyCondition))
	}
	return nil
}
