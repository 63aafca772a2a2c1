package sim

import (
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// heal ends all faults, and has the users leave the pool as it can be.
func (w *world) heal() {
	w.say("all faults end")
	w.armed, w.healed = nil, w.now
	clear(w.until)
	for _, m := range w.machines() {
		b := w.boxes[m.Name]
		b.silent, b.ill = time.Time{}, time.Time{}
		if b.condemned.After(w.now) {
			b.condemned = time.Time{}
			w.check(b)
		}
		if node := w.node(m.Name); node != nil && foreign(node) {
			_ = w.api.remove(nodes, node.Name, nil)
		}
		switch {
		case !b.booted:
			w.boot(b)
		case b.good != "" && w.node(m.Name) == nil:
			w.join(b) // the foreign Node was in its way
		}
		w.comesBack(b)
	}
	w.leaveAsItCanBe()
}

// leaveAsItCanBe is a user who goes home: nothing stays paused, and nothing is asked for that cannot be.
func (w *world) leaveAsItCanBe() {
	w.annotateStop(nil)
	w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Paused, p.Spec.Disruption.Budgets = nil, nil })
	if most := w.watch.last().lifetime(); most > 0 && most < calm {
		w.letLive(0)
	}
	for _, m := range w.machines() {
		w.disrupt(m.Name)
	}
	if w.user.template.fails() {
		w.ask(w.user.good)
	}
}
