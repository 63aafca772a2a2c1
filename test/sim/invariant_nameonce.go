package sim

import (
	"fmt"
)

// nameOnce: no name is used twice.
var nameOnce = &invariant{name: "name-once", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.verb == makes && w.made[d.name()] {
			return fmt.Errorf("Machine %s is made, and there was one of that name before", d.name()) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}
