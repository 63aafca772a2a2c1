package host

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// unavailable is why a Host may not be claimed now, in the form of a condition's reason, or empty if it may.
func unavailable(h *v1alpha1.Host) string {
	claim, err := claimOf(h)
	switch {
	case err != nil, claim != nil && !isReleased(claim):
		return v1alpha1.ReasonClaimed
	case claim != nil:
		return v1alpha1.ReasonCleaning
	}
	return keptBack(h)
}

// keptBack is why a Host may not be claimed that is nobody's, or will be in a moment.
func keptBack(h *v1alpha1.Host) string {
	_, quarantined := h.Annotations[v1alpha1.QuarantineAnnotation]
	switch {
	case !h.DeletionTimestamp.IsZero():
		return v1alpha1.ReasonDeleting
	case quarantined:
		return v1alpha1.ReasonQuarantined
	case ptr.Deref(h.Spec.Unschedulable, false):
		return v1alpha1.ReasonUnschedulable
	case h.Status.ObservedGeneration != h.Generation:
		return string(v1alpha1.HostPending)
	}
	for _, needed := range []string{v1alpha1.HostReachableCondition, v1alpha1.HostFitCondition, v1alpha1.HostCleanCondition} {
		c := meta.FindStatusCondition(h.Status.Conditions, needed)
		if c == nil || c.Status == metav1.ConditionUnknown {
			return string(v1alpha1.HostPending)
		}
		if c.Status != metav1.ConditionTrue {
			return c.Reason
		}
	}
	return ""
}

// choose picks a Host for a machine: the first by name that is selected, available, and not taken, which need not show yet.
// Where there is none, the sentence counts why.
func choose(hosts []v1alpha1.Host, selector labels.Selector, taken func(*v1alpha1.Host) bool) (*v1alpha1.Host, string) {
	counts := map[string]int{}
	selected := 0
	var chosen *v1alpha1.Host
	for i := range hosts {
		h := &hosts[i]
		if !selector.Matches(labels.Set(h.Labels)) {
			continue
		}
		selected++
		why := unavailable(h)
		if why == "" && taken(h) {
			why = v1alpha1.ReasonClaimed
		}
		if why != "" {
			counts[why]++
			continue
		}
		if chosen == nil || h.Name < chosen.Name {
			chosen = h
		}
	}
	if chosen != nil {
		return chosen, ""
	}
	return nil, noHost(len(hosts), selected, counts)
}

func noHost(there, selected int, counts map[string]int) string {
	switch {
	case there == 0:
		return "There is no Host in this namespace: apply one for each server."
	case selected == 0:
		return fmt.Sprintf("None of the %d Hosts of this namespace has the labels that the template's hostSelector asks for.", there)
	}
	reasons := make([]string, 0, len(counts))
	for reason, n := range counts {
		reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(reasons)
	return fmt.Sprintf("No Host is free and fit; of the %d selected: %s (kubectl get hosts says more).", selected, strings.Join(reasons, ", "))
}
