package sim

import (
	"fmt"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// leftAlone: a machine that works and carries the annotation do-not-disrupt is not changed, cordoned, or deleted without its pool, by a
// manager whose round began when it was there. What has begun is brought to its end.
var leftAlone = &invariant{name: "left-alone", watches: func(w *watch) func(deed) error {
	since := map[string]time.Time{}
	return func(d deed) error {
		if d.kind == machines {
			annotated := d.after != nil && as[*clusterv1.Machine](d.after).Annotations != nil
			if annotated {
				_, annotated = as[*clusterv1.Machine](d.after).Annotations[v1alpha1.DoNotDisruptAnnotation]
			}
			if !annotated {
				delete(since, d.name())
			} else if since[d.name()].IsZero() {
				since[d.name()] = w.world.now
			}
		}
		at, is := since[d.name()]
		deleted := d.verb == deletes && !w.always(d.by, func(a asked) bool { return !a.deleted })
		if !is || !d.disrupts() || deleted || d.by.deposed || !at.Before(d.by.begun) {
			return nil
		}
		return fmt.Errorf("%s is %s, which somebody wants left alone since %s", d.name(), d.verb, clock(at.Sub(epoch)))
	}
}}
