package sim

import "fmt"

// expiredAreGone: no machine is older than the pool lets it become, nor was one made before the pool's refresh, for longer than a pool has
// to become what its spec says.
var expiredAreGone = &invariant{name: "expired-are-gone", settles: func(w *world) error {
	a := w.watch.last()
	for _, m := range w.machines() {
		switch age := w.now.Sub(m.CreationTimestamp.Time); {
		case a.lifetime() > 0 && age >= a.lifetime()+Bound:
			return fmt.Errorf("Machine %s is %s old, and the pool lets none become older than %s", m.Name, age, a.lifetime()) //nolint:staticcheck // a kind's name
		case m.CreationTimestamp.Time.Before(a.refresh) && a.refresh.Before(w.healed):
			return fmt.Errorf("Machine %s was made at %s, before the refresh at %s", m.Name, m.CreationTimestamp, a.refresh) //nolint:staticcheck // a kind's name
		}
	}
	return nil
}}
