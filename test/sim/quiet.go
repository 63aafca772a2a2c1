package sim

import "time"

// mustBeQuiet looks at what the pool came to after all faults ended.
func (w *world) mustBeQuiet() {
	for _, one := range w.held {
		if one.settles == nil {
			continue
		}
		if err := one.settles(w); err != nil {
			w.violate(one.name, "%s after all faults ended: %v", w.now.Sub(w.healed).Round(time.Minute), err)
			return
		}
	}
	w.tally.Quiets++
}
