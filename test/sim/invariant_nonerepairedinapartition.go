package sim

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// noneRepairedInAPartition: while nothing is heard of any node, and while more machines are unhealthy than the pool says, none is
// replaced. What shows after a manager has begun its round it may not have seen.
var noneRepairedInAPartition = &invariant{name: "none-repaired-in-a-partition", watches: func(w *watch) func(deed) error {
	settledAt := map[string]time.Time{} // since when each machine is on its way to nothing
	return func(d deed) error {
		if d.kind == agents && d.after != nil && (d.before == nil || !settled(as[*v1alpha1.NodeAgent](d.before))) && settled(as[*v1alpha1.NodeAgent](d.after)) {
			settledAt[d.name()] = w.world.now
		}
		if !w.isRepair(d) || d.by.deposed {
			return nil
		}
		all := append(w.world.machines(), as[*clusterv1.Machine](d.before))
		unhealthy, unheard, heard := 0, 0, 0
		before := func(since time.Time) bool { return !since.IsZero() && since.Before(d.by.begun.Add(-time.Second)) }
		for _, m := range all {
			if (before(unhealthySince(m)) || before(condemnedSince(m))) && (m.Status.NodeRef.IsDefined() || d.name() == m.Name) && !w.changes(m.Name) && !settledAt[m.Name].After(d.by.begun.Add(-time.Second)) {
				unhealthy++
			}
			if before(unheardSince(m)) {
				unheard++
			} else if m.Status.NodeRef.IsDefined() {
				heard++
			}
		}
		most := w.most(d.by, func(a asked) int {
			allowed := ptr.Deref(a.spec.Repair.MaxUnhealthy, intstr.FromString("40%"))
			n, _ := intstr.GetScaledValueFromIntOrPercent(&allowed, len(all), false)
			return max(n, 1)
		})
		switch {
		case unheard > 0 && heard == 0:
			return fmt.Errorf("Machine %s is replaced while nothing is heard of any of %d nodes", d.name(), unheard) //nolint:staticcheck // a kind's name
		case unhealthy > most:
			return fmt.Errorf("Machine %s is replaced while %d of %d are unhealthy, and with more than %d none is to be", d.name(), unhealthy, len(all), most) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}

// changes says that a machine's agent is on the way to what it was told, or its own word is of something else.
func (w *watch) changes(name string) bool {
	agent := w.world.agent(name)
	return agent == nil || !settled(agent)
}
