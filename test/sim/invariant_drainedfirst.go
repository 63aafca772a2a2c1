package sim

import (
	"fmt"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// drainedFirst: a node is changed in a way that its pods do not survive only when it is empty, or, where the pool says how long it is
// drained at most, when that time is over. Without, it never is.
var drainedFirst = &invariant{name: "drained-first", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.verb != tells || !d.disrupts() || d.by.deposed {
			return nil
		}
		before, after := as[*v1alpha1.NodeAgent](d.before), as[*v1alpha1.NodeAgent](d.after)
		if b := w.world.boxes[d.name()]; needsDrain(before, after) && !b.drained {
			if w.isForced(d.name(), d.by) {
				w.world.tally.Forced++
				return nil
			}
			return fmt.Errorf("%s is told to run %s instead of %s with its pods", d.name(), after.Spec.Version, before.Spec.Version)
		}
		return nil
	}
}}

// needsDrain says that a node that runs what it was told is given another minor version.
func needsDrain(before, after *v1alpha1.NodeAgent) bool {
	class, _ := disruption.OfVersions(before.Spec.Version, after.Spec.Version)
	return class == disruption.Drain && before.Status.Phase == v1alpha1.PhaseCommitted && before.Status.ObservedGeneration == before.Generation
}
