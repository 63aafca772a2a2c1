package sim

import (
	"maps"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestNoMachineGoesWhileAllAreCutOff has the network of twenty machines fail for ten minutes, of which each is to be replaced after two.
func TestNoMachineGoesWhileAllAreCutOff(t *testing.T) {
	const replicas = 20
	for name, broken := range map[string]Breaker{"": nil, "takes a node that is cut off for one that says it is ill": takesSilenceForIllness} {
		w := newWorld(Options{Seed: 1, Break: broken})
		w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To(int32(replicas)) })
		w.editPool(howRepairs{ladder: ladders[2], most: "100%", after: 120}.write)
		before, deleted := map[types.UID]string{}, 0
		w.after(time.Hour, func() {
			for _, m := range w.machines() {
				before[m.UID] = m.Name
				w.falls(w.boxes[m.Name], &w.boxes[m.Name].silent, 10*time.Minute)
			}
		})
		for minute := range 60 {
			w.after(time.Hour+time.Duration(minute)*time.Minute, func() { deleted = max(deleted, replicas-len(w.machines())) })
		}
		w.elect()
		w.pass(2*time.Hour, w.over)

		now := map[types.UID]string{}
		for _, m := range w.machines() {
			now[m.UID] = m.Name
		}
		stay := deleted == 0 && len(before) == replicas && maps.Equal(before, now)
		switch {
		case broken == nil && !stay:
			t.Errorf("%d machines were deleted of %v, and there are %v", deleted, before, now)
		case broken == nil && w.broken != nil:
			t.Errorf("%+v", *w.broken)
		case broken == nil && ptr.Deref(w.pool().Status.ReadyReplicas, 0) != replicas:
			t.Errorf("the pool's status is %+v", w.pool().Status)
		case broken != nil && stay:
			t.Errorf("a manager that %s deletes none: the test is no test", name)
		}
	}
}
