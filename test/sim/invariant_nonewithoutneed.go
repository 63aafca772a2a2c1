package sim

import (
	"fmt"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// noneWithoutNeed: a machine is deleted only where there are more than the pool asks for, or where it is not what the template asks for
// and never worked, or goes before another is made, as one of age does, or to repair it. A manager that lost its lease may have a request on its way, to
// delete another one than its successor does: no lock would refuse it, and the pool is made whole again.
var noneWithoutNeed = &invariant{name: "none-deleted-without-need", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.by.deposed || d.verb != deletes || w.poolGoes(d.by) {
			return nil
		}
		there, least := len(w.world.machines())+1, w.least(d.by, asked.replicas)
		goesFirst := !d.worked || w.least(d.by, asked.surge) == 0
		repairs := !w.always(d.by, func(a asked) bool { return len(a.spec.Repair.Ladder) == 0 })
		outdated := w.isOutdated(d) || w.isAged(d.by, as[*clusterv1.Machine](d.before))
		if there > least || repairs || d.isCondemned() || goesFirst && outdated {
			return nil
		}
		return fmt.Errorf("Machine %s is deleted, where there were %d and the pool asks for %d", d.name(), there, least) //nolint:staticcheck // a kind's name
	}
}}

// poolGoes says that the pool was being deleted at some time of a manager's present round.
func (w *watch) poolGoes(m *manager) bool {
	return !w.always(m, func(a asked) bool { return !a.deleted })
}
