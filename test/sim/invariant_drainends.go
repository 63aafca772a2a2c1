package sim

import "fmt"

// drainEnds: where the pool has a drain timeout, no manager goes on to drain a node in order to change it when that is long over.
var drainEnds = &invariant{name: "drain-ends", watches: func(w *watch) func(deed) error {
	const most = 5 // a request may fail, and so may the next
	return func(d deed) error {
		if d.kind != pools || d.by == nil {
			return nil
		}
		for _, m := range w.world.machines() {
			if b := w.world.boxes[m.Name]; b.overdue > most {
				return fmt.Errorf("%s is drained since %s, and its pool gives it %s", m.Name, clock(w.drains[m.Name].Sub(epoch)), w.last().drainTimeout())
			}
		}
		return nil
	}
}}
