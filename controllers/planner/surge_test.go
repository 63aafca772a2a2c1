package planner

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// maySurge lets a pool have so many machines beyond those that it wants.
func maySurge(most string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Rollout.MaxSurge = ptr.To(intstr.Parse(most)) }
}

func replaces(p *v1alpha1.NodePool) { p.Spec.Rollout.Strategy = v1alpha1.RolloutReplace }

func TestMaxSurge(t *testing.T) {
	for _, c := range []struct {
		reason   string
		replicas int32
		most     string
		want     int
	}{
		{"it is a number", 3, "2", 2},
		{"none is none", 3, "0", 0},
		{"nor is no part of them", 3, "0%", 0},
		{"what rounds to nothing is one", 3, "1%", 1},
		{"a part is rounded up", 3, "50%", 2},
		{"all is all", 7, "100%", 7},
		{"a pool of none has no part", 0, "50%", 0},
		{"it is bounded", 10000, "100%", 1000},
		{"a number, too", 3, "10000", 1000},
	} {
		if got := maxSurge(newPool(c.replicas, 0, maySurge(c.most))); got != c.want {
			t.Errorf("%s: %s of %d is %d, want %d", c.reason, c.most, c.replicas, got, c.want)
		}
	}
	if got := maxSurge(newPool(3, 0)); got != 1 {
		t.Errorf("without one it is %d", got)
	}
}
