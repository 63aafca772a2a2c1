package sim

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// repairedWhenUnhealthy: a machine that goes and is not one too many has been unhealthy for as long as the pool says, or asked for.
var repairedWhenUnhealthy = &invariant{name: "repaired-when-unhealthy", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if !w.isRepair(d) {
			return nil
		}
		least := time.Duration(w.least(d.by, func(a asked) int { return int(ptr.Deref(a.spec.Repair.Timeouts.ReplaceSeconds, 600)) })) * time.Second
		machine := as[*clusterv1.Machine](d.before)
		since, condemned := unhealthySince(machine), condemnedSince(machine)
		if !condemned.IsZero() && w.world.now.Sub(condemned) >= leastRequest {
			return nil
		}
		if w.always(d.by, func(a asked) bool { return len(a.spec.Repair.Ladder) == 0 }) || since.IsZero() || w.world.now.Sub(since) < least {
			return fmt.Errorf("Machine %s is replaced, which is unhealthy since %s, and not for %s", d.name(), clock(since.Sub(epoch)), least) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}

// isRepair says that a manager deletes a machine that is what the template asks for and not of age, in a pool that has no more than it asks for. One
// that lost its lease may have a request on its way to delete one too many, where its successor has deleted others since.
func (w *watch) isRepair(d deed) bool {
	if d.by == nil || d.verb != deletes || d.by.deposed {
		return false
	}
	repaired := d.isCondemned()
	for _, a := range w.during(d.by) {
		if a.deleted {
			return false
		}
		repaired = repaired || len(a.spec.Repair.Ladder) > 0
	}
	return repaired && len(w.world.machines())+1 <= w.least(d.by, asked.replicas) && !w.isOutdated(d) && !w.isAged(d.by, as[*clusterv1.Machine](d.before))
}
