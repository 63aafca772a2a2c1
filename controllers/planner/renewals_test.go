package planner

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// lifetimes are for how many seconds users let machines of the simulation live. It has few minutes.
var lifetimes = []int32{0, 20, 60, 150}

// editExpiry is a user who lets a pool's machines expire, or not.
func (w *world) editExpiry() {
	after := lifetimes[w.rng.IntN(len(lifetimes))]
	w.note("user: expireAfterSeconds %d", after)
	w.writePool("", func(p *v1alpha1.NodePool) { p.Spec.Disruption.ExpireAfterSeconds = &after; p.Generation++ })
}

// lifetime is for how long a pool lets its machines live; zero for ever.
func lifetime(p *v1alpha1.NodePool) time.Duration {
	return time.Duration(ptr.Deref(p.Spec.Disruption.ExpireAfterSeconds, 0)) * time.Second
}

// checkExpiry holds what is said to have expired to its age, and to the rollout's being over.
func (m *manager) checkExpiry(f *fleet, one *machine) {
	age, most := f.Now.Sub(one.CreationTimestamp.Time), lifetime(f.Pool)
	switch {
	case most == 0 || age < most-most/10:
		m.fail("%s expires at an age of %s, of %s", one.Name, age, most)
	case f.Stopped != "":
		m.fail("%s expires while the fleet is stopped", one.Name)
	case one.told != f.rollout.target && !f.rollout.reverts():
		m.fail("%s expires with revision %s, which is to run %s", one.Name, one.told, f.rollout.target)
	}
}

// tooOld says which machine is older than its pool lets it become, once all faults are over.
func (w *world) tooOld() error {
	most := lifetime(w.pool)
	for _, m := range w.machines.list() {
		if age := w.now.Sub(m.CreationTimestamp.Time); most > 0 && age >= most {
			return fmt.Errorf("%s is %s old, where its pool lets none become older than %s", m.Name, age, most)
		}
	}
	return nil
}
