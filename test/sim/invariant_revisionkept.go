package sim

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// revisionKept: what a machine is to run is stored for as long as it is to.
var revisionKept = &invariant{name: "revision-kept", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.verb == makes {
			return w.world.keeps(as[*clusterv1.Machine](d.after))
		}
		if d.kind != revisions || d.after != nil {
			return nil
		}
		for _, m := range w.world.machines() {
			if err := w.world.keeps(m); err != nil {
				return err
			}
		}
		return nil
	}
}}

// keeps says whether a machine's revision is stored.
func (w *world) keeps(m *clusterv1.Machine) error {
	told := v1alpha1.RevisionName(poolName, v1alpha1.ToldRevision(m))
	if of[*appsv1.ControllerRevision](w.api, revisions, told) != nil || w.watch.excused[m.Name] {
		return nil
	}
	return fmt.Errorf("there is no ControllerRevision %s, which Machine %s is to run", told, m.Name)
}
