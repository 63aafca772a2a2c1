package sim

import "time"

// again is how soon a pool is looked at again whose machines are replaced for their age.
const again = 10 * time.Minute

// mustBeQuiet looks at what the pool came to after all faults ended. While machines are replaced for their age, which has no end, it is
// about that alone, and looks at the rest later in the day.
func (w *world) mustBeQuiet() {
	renews := w.isRenewing()
	if later := w.clockTime() + again; renews && later/day == w.clockTime()/day {
		w.after(again, w.mustBeQuiet)
	}
	for _, one := range w.held {
		if one.settles == nil || renews && one != expiredAreGone {
			continue
		}
		if err := one.settles(w); err != nil {
			w.violate(one.name, "%s after all faults ended: %v", w.now.Sub(w.healed).Round(time.Minute), err)
			return
		}
	}
	if !renews {
		w.tally.Quiets++
	}
}
