package sim

import (
	"fmt"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// oneForABadRevision: a revision that a node went back from is given to no other node that works.
var oneForABadRevision = &invariant{name: "one-for-a-bad-revision", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.verb != tells || !d.worked {
			return nil
		}
		revision := as[*v1alpha1.NodeAgent](d.after).Spec.Revision
		for _, other := range w.world.machines() {
			agent := w.world.agent(other.Name)
			if other.Name == d.name() || agent == nil || agent.Status.Phase != v1alpha1.PhaseRolledBack || agent.Status.FailedRevision == nil {
				continue
			}
			// Where several are told in one round, one may be back before the next is written.
			if agent.Status.FailedRevision.Revision == revision && !w.world.boxes[other.Name].wentBack.After(d.by.begun) {
				return fmt.Errorf("%s is told to run revision %s, from which %s went back", d.name(), revision, other.Name)
			}
		}
		return nil
	}
}}
