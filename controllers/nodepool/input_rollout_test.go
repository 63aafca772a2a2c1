package nodepool_test

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
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

func bounds(least, most int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.MinReplicas, p.Spec.MaxReplicas = &least, &most }
}

// TestAPoolIsScaledWithinItsBounds, by whatever way.
func TestAPoolIsScaledWithinItsBounds(t *testing.T) {
	s := newSite(t)
	pool := s.pool("bounded", 2)
	bounds(1, 3)(pool)
	if err := s.Client.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	for replicas, refusal := range map[int32]string{0: "replicas is less than minReplicas", 1: "", 3: "", 4: "replicas is more than maxReplicas"} {
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
		err := s.Client.SubResource("scale").Update(t.Context(), pool.DeepCopy(), client.WithSubResourceBody(scale))
		if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
			t.Errorf("scaled to %d: %v, want %q", replicas, err, refusal)
		}
	}
	if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
	pool.Spec.MaxReplicas, pool.Spec.Replicas = ptr.To[int32](9), ptr.To[int32](9)
	if err := s.Client.Update(t.Context(), pool); err != nil {
		t.Errorf("a bound and the number are changed in one edit: %v", err)
	}
}

// badRollouts are mistakes in how a pool is to roll out.
func badRollouts() map[string]mistake {
	const none, least = "maxUnavailable is a number from 0", "maxUnavailable may be 0 only with strategy Replace"
	of := func(strategy v1alpha1.RolloutStrategy, most, surge string) func(*v1alpha1.NodePool) {
		return func(p *v1alpha1.NodePool) {
			mayMiss(most)(p)
			p.Spec.Rollout.Strategy, p.Spec.Rollout.MaxSurge = strategy, ptr.To(intstr.Parse(surge))
		}
	}
	return map[string]mistake{
		"none unavailable":          {"no node could be changed", mayMiss("0"), least},
		"no percent unavailable":    {"no node could be changed", mayMiss("0%"), least},
		"neither":                   {"no machine could be replaced", of(v1alpha1.RolloutReplace, "0", "0"), least},
		"no percent of either":      {"no machine could be replaced", of(v1alpha1.RolloutReplace, "0%", "0%"), least},
		"a surge in place":          {"a node that is changed is unavailable", of(v1alpha1.RolloutInPlace, "0", "1"), least},
		"less than no surge":        {"it is a number of machines", of(v1alpha1.RolloutReplace, "1", "-1"), "maxSurge is a number"},
		"a surge of more than all":  {"a percentage ends at 100", of(v1alpha1.RolloutReplace, "1", "101%"), "maxSurge is a number"},
		"a surge in words":          {"a string is a percentage", of(v1alpha1.RolloutReplace, "1", "some"), "maxSurge is a number"},
		"another strategy":          {"there are two", of("Recreate", "1", "1"), "spec.rollout.strategy"},
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
		"no patience":               {"a node takes longer than that", func(p *v1alpha1.NodePool) { p.Spec.Rollout.ProgressDeadlineSeconds = ptr.To[int32](59) }, "spec.rollout.progressDeadlineSeconds"},
		"patience for a month":      {"nobody would hear of it", func(p *v1alpha1.NodePool) { p.Spec.Rollout.ProgressDeadlineSeconds = ptr.To[int32](2592000) }, "spec.rollout.progressDeadlineSeconds"},
		"no history":                {"what just went might be asked for again", func(p *v1alpha1.NodePool) { p.Spec.Rollout.RevisionHistoryLimit = ptr.To[int32](0) }, "spec.rollout.revisionHistoryLimit"},
		"all of history":            {"each is an object", func(p *v1alpha1.NodePool) { p.Spec.Rollout.RevisionHistoryLimit = ptr.To[int32](101) }, "spec.rollout.revisionHistoryLimit"},
		"the least above the most":  {"no number would do", bounds(3, 2), "minReplicas is more than maxReplicas"},
		"fewer than the least":      {"it is the user's own bound", bounds(2, 3), "replicas is less than minReplicas"},
		"more than the most":        {"it is the user's own bound", bounds(0, 0), "replicas is more than maxReplicas"},
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
	if err := s.Client.Patch(t.Context(), pool, empty); err != nil || !ptr.Equal(pool.Spec.Rollout.MaxUnavailable, ptr.To(intstr.FromInt32(1))) ||
		!ptr.Equal(pool.Spec.Rollout.MaxSurge, ptr.To(intstr.FromInt32(1))) || pool.Spec.Rollout.Strategy != v1alpha1.RolloutInPlace {
		t.Errorf("an empty spec.rollout is stored as %+v, %v", pool.Spec.Rollout, err)
	}
	for name, rollout := range map[string]string{
		"surge-first":  `{"strategy":"Replace","maxUnavailable":0,"maxSurge":"1%"}`,
		"surge-of-one": `{"strategy":"Replace","maxUnavailable":"0%"}`,
		"delete-first": `{"strategy":"Replace","maxUnavailable":1,"maxSurge":0}`,
	} {
		if err := s.Client.Patch(t.Context(), pool, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"rollout":`+rollout+`}}`))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
