package planner

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

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

// editRefresh is a user who asks for a refresh, now or in a while, or says when in a way that nobody understands.
func (w *world) editRefresh() {
	at := w.now.Add([]time.Duration{0, 10 * time.Second}[w.rng.IntN(2)]).Format(time.RFC3339)
	if w.rng.IntN(5) == 0 {
		at = "tomorrow"
	}
	w.note("user: refresh at %s", at)
	w.writePool("", refreshes(at))
}

// isOld says that a machine may be replaced for its age, or for a refresh, which is no more than to be understood anew here.
func isOld(p *v1alpha1.NodePool, m *clusterv1.Machine, now time.Time) bool {
	age, most := now.Sub(m.CreationTimestamp.Time), lifetime(p)
	at, err := time.Parse(time.RFC3339, p.Annotations[v1alpha1.RefreshAtAnnotation])
	return most > 0 && age >= most-most/10 || err == nil && !at.After(now) && m.CreationTimestamp.Time.Before(at)
}

// checkRenewal holds what is said to be due to its age, and to the rollout's being over.
func (m *manager) checkRenewal(f *fleet, one *machine) {
	switch {
	case !isOld(f.Pool, one.Machine, f.Now):
		m.fail("%s of %s is too young to be replaced at %s: %s, %s", one.Name, one.CreationTimestamp, f.Now, lifetime(f.Pool), f.Pool.Annotations[v1alpha1.RefreshAtAnnotation])
	case f.Stopped != "":
		m.fail("%s is replaced while the fleet is stopped", one.Name)
	case one.told != f.rollout.target && !f.rollout.reverts():
		m.fail("%s is replaced with revision %s, which is to run %s", one.Name, one.told, f.rollout.target)
	}
}

// tooOld says which machine is older than its pool lets it become, or than its refresh, once all faults are over.
func (w *world) tooOld() error {
	for _, m := range w.machines.list() {
		if isOld(w.pool, m, w.now.Add(-lifetime(w.pool)/10)) {
			return fmt.Errorf("%s of %s is too old at %s: %s, %s", m.Name, m.CreationTimestamp, w.now, lifetime(w.pool), w.pool.Annotations[v1alpha1.RefreshAtAnnotation])
		}
	}
	return nil
}
