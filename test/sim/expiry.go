package sim

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

var editRefresh = withNumber(edited("asks for a refresh", 1, func(w *world, e event) {
	at := w.now.Add(time.Duration(e.number%3) * 5 * time.Minute)
	w.editPool(func(p *v1alpha1.NodePool) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.RefreshAtAnnotation, at.Format(time.RFC3339))
	})
}), func(number int) string { return fmt.Sprintf("in %d minutes", number%3*5) })

// refreshOf is when a pool asks for a refresh; zero for never.
func refreshOf(p *v1alpha1.NodePool) time.Time {
	at, err := time.Parse(time.RFC3339, p.Annotations[v1alpha1.RefreshAtAnnotation])
	if err != nil {
		return time.Time{}
	}
	return at
}

// isAged says that a machine may go for its age: it lacks no more than a tenth of the time that it has, or was made before a refresh.
func (w *world) isAged(a asked, m *clusterv1.Machine) bool {
	most := a.lifetime()
	return !a.refresh.IsZero() && !w.now.Before(a.refresh) && m.CreationTimestamp.Time.Before(a.refresh) || most > 0 && w.now.Sub(m.CreationTimestamp.Time) >= most*9/10
}

// isAged says so of some time of a manager's present round.
func (w *watch) isAged(by *manager, m *clusterv1.Machine) bool {
	return !w.always(by, func(a asked) bool { return !w.world.isAged(a, m) })
}

// isRenewing says that machines may be replaced for their age at this moment, or have just been: then there is one more, or less.
func (w *world) isRenewing() bool {
	const recently = 20 * time.Minute
	a := w.watch.last()
	if a.lifetime() == 0 && a.refresh.IsZero() || a.deleted {
		return false
	}
	return len(w.machines()) < a.replicas() || slices.ContainsFunc(w.machines(), func(m *clusterv1.Machine) bool {
		return w.isAged(a, m) || w.now.Sub(m.CreationTimestamp.Time) < recently
	})
}
