package planner

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/evictions"
)

// drainReasons are the reasons of DrainBlocked, by what refuses an eviction.
var drainReasons = map[evictions.Cause]string{
	evictions.Denied: v1alpha1.ReasonEvictionDenied,
	evictions.Failed: v1alpha1.ReasonEvictionFailed,
	evictions.Budget: v1alpha1.ReasonPodDisruptionBudget,
}

// blockedDrain is a drain that cannot get on because an eviction was refused.
type blockedDrain struct {
	machine string
	evictions.Refusal
}

// blockedDrains are the drains of which an eviction was refused, at most one for each machine and the gravest first.
func blockedDrains(f *fleet, outcome Outcome) []blockedDrain {
	var blocked []blockedDrain
	note := func(machine, message string) {
		if refusals := evictions.Read(message).Refusals; len(refusals) > 0 {
			blocked = append(blocked, blockedDrain{machine, refusals[0]})
		}
	}
	for _, m := range f.leaving {
		if c := drainingCondition(m.Status.Conditions); c != nil {
			note(m.Name, c.Message)
		}
	}
	for _, d := range outcome.Drains {
		note(d.Name, d.Message)
	}
	slices.SortStableFunc(blocked, func(a, b blockedDrain) int { return cmp.Compare(a.Cause, b.Cause) })
	return blocked
}

// drainingCondition is the condition Deleting of a machine whose node is drained; nil when it is not.
func drainingCondition(conditions []metav1.Condition) *metav1.Condition {
	c := meta.FindStatusCondition(conditions, clusterv1.MachineDeletingCondition)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != clusterv1.MachineDeletingDrainingNodeReason {
		return nil
	}
	return c
}

// drainReason is the reason of the gravest.
func drainReason(drains []blockedDrain) string {
	if len(drains) == 0 {
		return ""
	}
	return drainReasons[drains[0].Cause]
}

func drainMessage(drains []blockedDrain) string {
	parts := make([]string, 0, len(drains))
	for _, d := range drains {
		parts = append(parts, d.machine+": "+d.Message)
	}
	return strings.Join(sample(parts), "; ")
}
