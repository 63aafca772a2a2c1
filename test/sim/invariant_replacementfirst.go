package sim

import (
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// replacementFirst: a machine that is available and not what the template asks for, or of age, goes only while as many others are available as the
// pool asks for; without a surge, as many less as may be unavailable. Others count that are down by a fault, and those that are not what
// the template asks for either and were down before. In a round that began with more machines than the pool asks for with its surge some
// go as they are too many, an older one before one that is about to be available.
var replacementFirst = &invariant{name: "replacement-first", watches: func(w *watch) func(deed) error {
	var by *manager
	var begun time.Time
	went := 0 // in that manager's round
	return func(d deed) error {
		if d.by == nil || d.verb != deletes || d.by.deposed || w.poolGoes(d.by) {
			return nil
		}
		if d.by != by || !d.by.begun.Equal(begun) {
			by, begun, went = d.by, d.by.begun, 0
		}
		went++
		if len(w.world.machines())+went > w.most(d.by, asked.replicas)+w.most(d.by, asked.surge) {
			return nil
		}
		gone := as[*clusterv1.Machine](d.before)
		if _, annotated := gone.Annotations[v1alpha1.DeleteFirstAnnotation]; annotated || !available(gone) || !w.isOutdated(d) && !w.isAged(d.by, gone) {
			return nil
		}
		if w.isOutdated(d) {
			w.world.tally.Replaced++
		} else {
			w.world.tally.Expired++
		}
		others := 0
		for _, m := range w.world.machines() {
			if b := w.world.boxes[m.Name]; available(m) || !b.struck.IsZero() || w.asksForAnother(w.last(), m) {
				others++
			}
		}
		if least := w.least(d.by, asked.least); others < least {
			return fmt.Errorf("Machine %s is deleted, which is available, so there are %d, and the pool asks for %d", d.name(), others, least) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}

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
	spec := a.spec.Template.Spec
	return infrastructure != spec.InfrastructureRef || agent.Spec.Version != spec.Version || !equality.Semantic.DeepEqual(agent.Spec.NodeSettings, spec.NodeSettings)
}
