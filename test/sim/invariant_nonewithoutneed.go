package sim

import (
	"fmt"
)

// noneWithoutNeed: a machine is deleted only where there are more than the pool asks for, or to repair it. A manager that lost its lease may have a
// request on its way, to delete another one than its successor does: no lock would refuse it, and the pool is made whole again.
var noneWithoutNeed = &invariant{name: "none-deleted-without-need", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.by.deposed || d.verb != deletes {
			return nil
		}
		for _, a := range w.during(d.by) {
			if a.deleted || len(a.spec.Repair.Ladder) > 0 {
				return nil
			}
		}
		if there, least := len(w.world.machines())+1, w.least(d.by, asked.replicas); there <= least {
			return fmt.Errorf("Machine %s is deleted, where there were %d and the pool asks for %d", d.name(), there, least) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}
