package sim

import (
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// replacementFirst: a machine that is available and not what the template asks for, or of age, goes only while as many others are available as the
// pool asks for; without a surge, as many less as may be unavailable. Others count that are down by a fault, and those that are not what
// the template asks for either and were down before. In a round that began with more machines than the pool asks for with its surge some
// go as they are too many, an older one before one that is about to be available.
var replacementFirst = &invariant{name: "replacement-first", watches: func(w *watch) func(deed) error {
	g := &givingWay{watch: w}
	return func(d deed) error {
		if !g.givesWay(d) {
			return nil
		}
		if w.isOutdated(d) {
			w.world.tally.Replaced++
		} else {
			w.world.tally.Expired++
		}
		if others, least := w.inPlace(available), w.least(d.by, asked.least); others < least {
			return fmt.Errorf("Machine %s is deleted, which is available, so there are %d, and the pool asks for %d", d.name(), others, least) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}

// givingWay finds the machines that go for another in their place.
type givingWay struct {
	*watch
	by    *manager
	begun time.Time
	// went is how many were deleted in that manager's round.
	went int
}

// givesWay says that an available machine is deleted as another has taken its place, not as there are too many.
func (g *givingWay) givesWay(d deed) bool {
	if d.by == nil || d.verb != deletes || d.by.deposed || g.poolGoes(d.by) {
		return false
	}
	if d.by != g.by || !d.by.begun.Equal(g.begun) {
		g.by, g.begun, g.went = d.by, d.by.begun, 0
	}
	g.went++
	if len(g.world.machines())+g.went > g.most(d.by, asked.replicas)+g.most(d.by, asked.surge) {
		return false
	}
	gone := as[*clusterv1.Machine](d.before)
	_, annotated := gone.Annotations[v1alpha1.DeleteFirstAnnotation]
	return !annotated && available(gone) && (g.isOutdated(d) || g.isAged(d.by, gone))
}

// inPlace is how many machines are there that stand for one, those included that are down by a fault, or are not what the template asks for
// either.
func (w *watch) inPlace(stands func(*clusterv1.Machine) bool) int {
	n := 0
	for _, m := range w.world.machines() {
		if b := w.world.boxes[m.Name]; stands(m) || !b.struck.IsZero() || w.asksForAnother(w.last(), m) {
			n++
		}
	}
	return n
}

// isOutdated says that a machine which goes was not what the pool asked for at some time of the manager's present round.
func (w *watch) isOutdated(d deed) bool {
	return !w.always(d.by, func(a asked) bool { return !w.asksForAnother(a, as[*clusterv1.Machine](d.before)) })
}

// asksForAnother says that a template asks for something else than a machine was made from, or is to run.
func (w *watch) asksForAnother(a asked, m *clusterv1.Machine) bool {
	stored := of[*appsv1.ControllerRevision](w.world.api, revisions, v1alpha1.RevisionName(poolName, m.Labels[v1alpha1.RevisionLabel]))
	agent, infrastructure := w.world.agent(m.Name), v1alpha1.InfrastructureReference{}
	if stored == nil || agent == nil || json.Unmarshal([]byte(stored.Annotations[v1alpha1.InfrastructureAnnotation]), &infrastructure) != nil {
		return true
	}
	return infrastructure != a.spec.Template.Spec.InfrastructureRef || !a.isAskedFor(agent)
}
