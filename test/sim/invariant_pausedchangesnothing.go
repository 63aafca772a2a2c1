package sim

import (
	"fmt"
)

// pausedChangesNothing: a paused pool makes, changes, drains and deletes no machine, nor does it uncordon one.
var pausedChangesNothing = &invariant{name: "paused-changes-nothing", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by != nil && d.verb != does && w.always(d.by, asked.paused) {
			return fmt.Errorf("%s is %s while the pool is paused", d.name(), d.verb)
		}
		return nil
	}
}}
