package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
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
	// until is when nobody waits for it any longer; zero for never.
	until time.Time
}

// blockedDrains are the drains of which an eviction was refused, at most one for each machine and the gravest first.
func blockedDrains(f *fleet, outcome Outcome) []blockedDrain {
	var blocked []blockedDrain
	note := func(machine, message string, until time.Time) {
		if refusals := evictions.Read(message).Refusals; len(refusals) > 0 {
			blocked = append(blocked, blockedDrain{machine, refusals[0], until})
		}
	}
	for _, m := range f.leaving {
		if c := drainingCondition(m.Status.Conditions); c != nil {
			note(m.Name, c.Message, drainedUntil(m.Machine))
		}
	}
	for _, d := range outcome.Drains {
		note(d.Name, d.Message, d.Until)
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

// drainedUntil is when Cluster API gives up to drain a Machine that is being deleted; zero for never.
func drainedUntil(m *clusterv1.Machine) time.Time {
	most, deletion := ptr.Deref(m.Spec.Deletion.NodeDrainTimeoutSeconds, 0), m.Status.Deletion
	if most <= 0 || deletion == nil || deletion.NodeDrainStartTime.IsZero() {
		return time.Time{}
	}
	return deletion.NodeDrainStartTime.Add(time.Duration(most) * time.Second)
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
		parts = append(parts, d.machine+": "+d.Message+waitedFor(d.until))
	}
	return strings.Join(sample(parts), "; ")
}

// waitedFor says for how long somebody waits, as the end of a sentence.
func waitedFor(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return ", which is waited for until " + until.UTC().Format(time.RFC3339)
}

// atMost says the same within a sentence.
func atMost(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (until %s at most)", until.UTC().Format(time.RFC3339))
}

// forcedEvents tell of nodes that were changed with pods on them.
func forcedEvents(outcome Outcome) []Event {
	list := make([]Event, 0, len(outcome.Forced))
	for _, d := range outcome.Forced {
		list = append(list, Event{
			Type: corev1.EventTypeWarning, Reason: v1alpha1.ReasonDrainTimedOut, Action: "Update", Machine: d.Name,
			Note: fmt.Sprintf("Machine %s is changed with pods on its node, as spec.disruption.drainTimeoutSeconds are over: %s", d.Name, oneLine(d.Message)),
		})
	}
	return list
}

// oneLine is what a drain says, without its lines and as much of it as a pool quotes.
func oneLine(message string) string {
	return v1alpha1.Shorten(strings.Join(strings.Fields(message), " "), maxComplaint)
}
