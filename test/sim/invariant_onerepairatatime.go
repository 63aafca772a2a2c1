package sim

import (
	"fmt"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// oneRepairAtATime: a machine is replaced only when the one that was replaced before it is gone, and one that was made since has become
// available, or has not come up either.
var oneRepairAtATime = &invariant{name: "one-repair-at-a-time", watches: func(w *watch) func(deed) error {
	var last *clusterv1.Machine // the one that was replaced last
	made := map[string]bool{}   // those made since
	helped := false             // one of them has become available
	var begun time.Time         // since when that is
	return func(d deed) error {
		if d.verb == makes {
			made[d.name()] = true
		}
		if m := w.world.machine(d.name()); made[d.name()] && m != nil && available(m) {
			helped = true // whatever becomes of it later
		}
		if !w.isRepair(d) {
			return nil
		}
		was, since, came, at := last, made, helped, begun
		last, made, helped, begun = as[*clusterv1.Machine](d.before), map[string]bool{}, false, w.world.now
		if was == nil || d.by.deposed || w.lost.After(at) { // Nobody knows of the last one.
			return nil
		}
		if still := w.world.machine(was.Name); still != nil && still.UID == was.UID {
			return fmt.Errorf("Machine %s is replaced while %s goes", d.name(), was.Name) //nolint:staticcheck // a kind's name
		}
		for name := range since {
			m := w.world.machine(name)
			if name == d.name() || m == nil || !unhealthySince(m).IsZero() || !condemnedSince(m).IsZero() {
				return nil
			}
		}
		if len(since) > 0 && !came {
			return fmt.Errorf("Machine %s is replaced before anything came up in the place of %s", d.name(), was.Name) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}
