package sim

import "fmt"

// expiredAreGone: no machine is older than the pool lets it become for longer than a pool has to become what its spec says.
var expiredAreGone = &invariant{name: "expired-are-gone", settles: func(w *world) error {
	most := w.watch.last().lifetime()
	for _, m := range w.machines() {
		if age := w.now.Sub(m.CreationTimestamp.Time); most > 0 && age >= most+Bound {
			return fmt.Errorf("Machine %s is %s old, and the pool lets none become older than %s", m.Name, age, most) //nolint:staticcheck // a kind's name
		}
	}
	return nil
}}
