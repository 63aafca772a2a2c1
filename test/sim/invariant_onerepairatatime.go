package sim

import (
	"fmt"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// oneRepairAtATime: a machine is replaced only when the one that was replaced before it is gone, and one that was made since is
// available, or has not come up either.
var oneRepairAtATime = &invariant{name: "one-repair-at-a-time", watches: func(w *watch) func(deed) error {
	var last *clusterv1.Machine // the one that was replaced last
	made := map[string]bool{}   // those made since
	var begun time.Time         // since when that is
	return func(d deed) error {
		if d.verb == makes {
			made[d.name()] = true
		}
		if !w.isRepair(d) {
			return nil
		}
		was, since, at := last, made, begun
		last, made, begun = as[*clusterv1.Machine](d.before), map[string]bool{}, w.world.now
		if was == nil || d.by.deposed || w.lost.After(at) { // Nobody knows of the last one.
			return nil
		}
		if still := w.world.machine(was.Name); still != nil && still.UID == was.UID {
			return fmt.Errorf("Machine %s is replaced while %s goes", d.name(), was.Name) //nolint:staticcheck // a kind's name
		}
		for name := range since {
			m := w.world.machine(name)
			if name == d.name() || m == nil || available(m) || !unhealthySince(m).IsZero() || !condemnedSince(m).IsZero() {
				return nil // It came up, and whoever was available once may have fallen ill since.
			}
		}
		if len(since) > 0 {
			return fmt.Errorf("Machine %s is replaced before anything came up in the place of %s", d.name(), was.Name) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}
