package nodepool_test

import (
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestSeveralNodesAreChangedAtOnce where so many may be unavailable, and never more.
func TestSeveralNodesAreChangedAtOnce(t *testing.T) {
	f := startFleet(t, "several", 5)
	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		mayMiss("40%")(p)
		maxPods(42)(p)
	})
	most := 0
	f.eventually("all run the new template", func() error {
		names := f.underWay()
		if most = max(most, len(names)); most > 2 {
			t.Fatalf("%v are changed at once", names)
		}
		f.play()
		return f.updated(5)
	})
	if most != 2 {
		t.Errorf("never more than %d nodes were changed at once", most)
	}
}
