package nodepool_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// mayMiss lets so many nodes of a pool be unavailable.
func mayMiss(most string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Rollout.MaxUnavailable = ptr.To(intstr.Parse(most)) }
}

func canary(replicas, soakSeconds int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Rollout.Canary = &v1alpha1.RolloutCanary{Replicas: &replicas, SoakSeconds: &soakSeconds}
	}
}

// badRollouts are mistakes in how a pool is to roll out.
func badRollouts() map[string]mistake {
	const none = "with none, no node could be changed"
	return map[string]mistake{
		"none unavailable":          {"no node could be changed", mayMiss("0"), none},
		"no percent unavailable":    {"no node could be changed", mayMiss("0%"), none},
		"fewer than none":           {"it is a number of nodes", mayMiss("-1"), none},
		"more than a pool has":      {"a typing mistake is no limit", mayMiss("10001"), none},
		"more than all":             {"a percentage ends at 100", mayMiss("101%"), none},
		"half a percent":            {"a percentage is whole", mayMiss("0.5%"), none},
		"a number that is a string": {"a string is a percentage", func(p *v1alpha1.NodePool) { p.Spec.Rollout.MaxUnavailable = ptr.To(intstr.FromString("3")) }, none},
		"ready before it is":        {"time does not run back", func(p *v1alpha1.NodePool) { p.Spec.Rollout.MinReadySeconds = ptr.To[int32](-1) }, "spec.rollout.minReadySeconds"},
		"ready for a week":          {"nobody waits so long for each node", func(p *v1alpha1.NodePool) { p.Spec.Rollout.MinReadySeconds = ptr.To[int32](604800) }, "spec.rollout.minReadySeconds"},
		"a canary of none":          {"nothing would prove the change", canary(0, 0), "spec.rollout.canary.replicas"},
		"a canary of less":          {"it is a number of nodes", canary(-1, 0), "spec.rollout.canary.replicas"},
		"soaked before it began":    {"time does not run back", canary(1, -1), "spec.rollout.canary.soakSeconds"},
		"soaked for a month":        {"a rollout ends", canary(1, 2592000), "spec.rollout.canary.soakSeconds"},
		"another end":               {"there are two", func(p *v1alpha1.NodePool) { p.Spec.Rollout.OnFailure = "Abort" }, "spec.rollout.onFailure"},
		"a word":                    {"a string is a percentage", mayMiss("all"), none},
	}
}

// TestARolloutIsTakenAsItIsWritten, and what is not written is the default.
func TestARolloutIsTakenAsItIsWritten(t *testing.T) {
	s := newSite(t)
	for name, most := range map[string]string{"one": "1", "many": "10000", "few-percent": "1%", "all": "100%"} {
		pool := s.pool(name, 1)
		mayMiss(most)(pool)
		if err := s.Client.Create(t.Context(), pool); err != nil {
			t.Errorf("%s: %v", most, err)
		} else if got := pool.Spec.Rollout.MaxUnavailable.String(); got != most {
			t.Errorf("%s is stored as %s", most, got)
		}
	}
	pool := s.pool("none", 1)
	if err := s.Client.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if most := pool.Spec.Rollout.MaxUnavailable; most != nil {
		t.Errorf("nothing is written, and %s is stored", most)
	}
	empty := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"rollout":{"maxUnavailable":null}}}`))
	if err := s.Client.Patch(t.Context(), pool, empty); err != nil || !ptr.Equal(pool.Spec.Rollout.MaxUnavailable, ptr.To(intstr.FromInt32(1))) {
		t.Errorf("an empty spec.rollout is stored as %+v, %v", pool.Spec.Rollout, err)
	}
}
