package sim

import (
	"fmt"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// stopHolds: no disruption of a node begins in a round that began when the manager's cache showed that the fleet is stopped, as long as
// it is. What had begun is brought to its end.
var stopHolds = &invariant{name: "stop-holds", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if !d.begins || d.by.stopped.IsZero() || d.by.stopped.After(d.by.begun) {
			return nil
		}
		if object := w.world.api.get(configs, v1alpha1.StopName); object == nil || !isStop(object) {
			return nil
		}
		return fmt.Errorf("%s is %s, and the fleet is stopped since %s", d.name(), d.verb, clock(d.by.stopped.Sub(epoch)))
	}
}}
