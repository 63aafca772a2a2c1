package host

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// free is a Host that may be claimed, but for what change does to it.
func free(name string, change func(*v1alpha1.Host)) v1alpha1.Host {
	h := v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 2, Annotations: map[string]string{}}}
	h.Status.ObservedGeneration = 2
	for _, condition := range []string{v1alpha1.HostReachableCondition, v1alpha1.HostFitCondition, v1alpha1.HostCleanCondition} {
		h.Status.Conditions = append(h.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: "AsItShould"})
	}
	change(&h)
	return h
}

func TestAHostIsPassedOverForAReason(t *testing.T) {
	claim := func(released *bool) func(*v1alpha1.Host) {
		return func(h *v1alpha1.Host) {
			if err := setClaim(h, v1alpha1.HostClaim{Kind: claimerKind, Name: "m", UID: "1", Released: released}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		why    string
		change func(*v1alpha1.Host)
	}{
		{v1alpha1.ReasonClaimed, claim(nil)},
		{v1alpha1.ReasonCleaning, claim(ptr.To(true))},
		{v1alpha1.ReasonClaimed, func(h *v1alpha1.Host) { h.Annotations[v1alpha1.ClaimAnnotation] = "{" }},
		{v1alpha1.ReasonDeleting, func(h *v1alpha1.Host) { h.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }},
		{v1alpha1.ReasonQuarantined, func(h *v1alpha1.Host) { h.Annotations[v1alpha1.QuarantineAnnotation] = "" }},
		{v1alpha1.ReasonUnschedulable, func(h *v1alpha1.Host) { h.Spec.Unschedulable = ptr.To(true) }},
		{"Pending", func(h *v1alpha1.Host) { h.Generation++ }},
		{"Pending", func(h *v1alpha1.Host) { h.Status.Conditions = h.Status.Conditions[:2] }},
		{"Pending", func(h *v1alpha1.Host) { h.Status.Conditions[0].Status = metav1.ConditionUnknown }},
		{"PreflightFailed", func(h *v1alpha1.Host) {
			h.Status.Conditions[1].Status, h.Status.Conditions[1].Reason = metav1.ConditionFalse, "PreflightFailed"
		}},
	} {
		h := free("b", tc.change)
		if got := unavailable(&h); got != tc.why {
			t.Errorf("the Host is passed over as %q, want %q", got, tc.why)
		}
		none := func(*v1alpha1.Host) bool { return false }
		want := "No Host is free and fit; of the 1 selected: 1 " + tc.why + " (kubectl get hosts says more)."
		if chosen, why := choose([]v1alpha1.Host{h}, labels.Everything(), none); chosen != nil || why != want {
			t.Errorf("chose %v: %q, want %q", chosen, why, want)
		}
		other := free("c", func(*v1alpha1.Host) {})
		if chosen, why := choose([]v1alpha1.Host{h, other}, labels.Everything(), none); chosen == nil || chosen.Name != "c" {
			t.Errorf("beside one that is %s none was chosen: %q", tc.why, why)
		}
	}
}
