package sim

import (
	"slices"
	"time"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// calm is how old machines may become at least once all faults are over: others would be replaced for all of the day.
const calm = 20 * time.Hour

var editExpiry = withNumber(edited("how old machines may become", 2, func(w *world, e event) { w.letLive(lifetimeOf(e.number)) }),
	func(number int) string { return lifetimeOf(number).String() })

// lifetimes are those that users think of; 0 is for ever.
var lifetimes = []time.Duration{20 * time.Minute, calm, time.Hour, 0}

func lifetimeOf(number int) time.Duration { return lifetimes[number%len(lifetimes)] }

func (w *world) letLive(most time.Duration) {
	w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Disruption.ExpireAfterSeconds = ptr.To(int32(most / time.Second)) }) //nolint:gosec // hours
}

// lifetime is how old machines may become; zero for as old as they like.
func (a asked) lifetime() time.Duration {
	return time.Duration(ptr.Deref(a.spec.Disruption.ExpireAfterSeconds, 0)) * time.Second
}

// isAged says that a machine may go for its age: it lacks no more than a tenth of the time that it has.
func (w *world) isAged(a asked, m *clusterv1.Machine) bool {
	most := a.lifetime()
	return most > 0 && w.now.Sub(m.CreationTimestamp.Time) >= most*9/10
}

// isAged says so of some time of a manager's present round.
func (w *watch) isAged(by *manager, m *clusterv1.Machine) bool {
	return !w.always(by, func(a asked) bool { return !w.world.isAged(a, m) })
}

// isRenewing says that machines may be replaced for their age at this moment, or have just been: then there is one more, or less.
func (w *world) isRenewing() bool {
	const recently = 20 * time.Minute
	a := w.watch.last()
	if a.lifetime() == 0 || a.deleted {
		return false
	}
	return len(w.machines()) < a.replicas() || slices.ContainsFunc(w.machines(), func(m *clusterv1.Machine) bool {
		return w.isAged(a, m) || w.now.Sub(m.CreationTimestamp.Time) < recently
	})
}
