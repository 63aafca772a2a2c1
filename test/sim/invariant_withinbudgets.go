package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// withinBudgets: of the nodes that serve, no more are changed, drained or deleted at a time than the pool's budgets allow for that reason
// at that time. A node that was named as being changed before goes on, and one that is not available anyway is none more.
var withinBudgets = &invariant{name: "within-budgets", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if !d.begins || d.by.deposed || w.namedAt[d.name()].Before(d.by.begun) && w.isNamed(d.name()) {
			return nil
		}
		used := w.disrupted(d.name())
		for _, a := range w.during(d.by) {
			for _, at := range []time.Time{d.by.begun, w.world.now} {
				if a.deleted || slices.ContainsFunc(w.reasons(d), func(reason v1alpha1.DisruptionReason) bool { return w.allows(a, reason, at, len(used), d.name()) }) {
					return nil
				}
			}
		}
		return fmt.Errorf("%s is %s beside %v, which its budgets do not allow: %s", d.name(), d.verb, used, budgetIn(w.last().spec))
	}
}}

// reasons are what a node may be disrupted for. One that is not what the template asks for may go for that, or as it is one too many.
func (w *watch) reasons(d deed) []v1alpha1.DisruptionReason {
	switch {
	case d.verb != deletes:
		return []v1alpha1.DisruptionReason{v1alpha1.DisruptionUpdate}
	case w.isOutdated(d):
		return []v1alpha1.DisruptionReason{v1alpha1.DisruptionUpdate, v1alpha1.DisruptionScaleDown}
	case w.isAged(d.by, as[*clusterv1.Machine](d.before)):
		return []v1alpha1.DisruptionReason{v1alpha1.DisruptionExpiry, v1alpha1.DisruptionScaleDown}
	default:
		return []v1alpha1.DisruptionReason{v1alpha1.DisruptionScaleDown}
	}
}

// allows says that what a pool asks for lets one more node be disrupted beside so many.
func (w *watch) allows(a asked, reason v1alpha1.DisruptionReason, at time.Time, used int, name string) bool {
	b := budgetIn(a.spec)
	if !b.speaks(reason, at) {
		return true
	}
	most, _ := intstr.GetScaledValueFromIntOrPercent(&b.nodes, len(w.world.api.tables[machines]), true)
	m := w.world.machine(name)
	return used < most || most > 0 && (m == nil || !available(m))
}

// budgetIn is the budget of a pool's spec.
func budgetIn(spec v1alpha1.NodePoolSpec) budgeted {
	for _, b := range budgets {
		pool := &v1alpha1.NodePool{}
		b.write(pool)
		if equality.Semantic.DeepEqual(pool.Spec.Disruption.Budgets, spec.Disruption.Budgets) {
			return b
		}
	}
	return budgeted{}
}

// disrupted are the nodes besides one that are changed, or served and are being deleted.
func (w *watch) disrupted(name string) []string {
	names := maps.Clone(w.changing)
	for _, object := range w.world.api.tables[machines] {
		if !object.GetDeletionTimestamp().IsZero() && w.serves[object.GetName()] {
			names[object.GetName()] = w.world.now
		}
	}
	delete(names, name)
	return slices.Sorted(maps.Keys(names))
}

// isNamed says that the pool's status names a machine as being changed.
func (w *watch) isNamed(name string) bool {
	pool := w.world.pool()
	return pool != nil && slices.Contains(pool.Status.Updating, name)
}
