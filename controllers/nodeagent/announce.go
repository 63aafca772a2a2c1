package nodeagent

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// announcement is an event on a pool.
type announcement struct {
	kind, reason, message string
}

// announce is what a pool's users hear of a change of a Machine's condition, or nil. Events go with changes, and a
// change is written once, so nothing is said twice, not by a restarted manager either. A machine on its normal way to
// joining is not news, however it goes from one step to the next.
func announce(o *observed, next *metav1.Condition) *announcement {
	name := o.machine.Name
	switch {
	case next.Reason == v1alpha1.ReasonNodeLost, next.Reason == v1alpha1.ReasonNodeNameTaken, o.trouble != nil && next.Reason == o.trouble.reason:
		return &announcement{corev1.EventTypeWarning, next.Reason, fmt.Sprintf("Machine %s: %s", name, next.Message)}
	case o.joined() || next.Status != metav1.ConditionFalse || !failsToJoin(next.Reason):
		return nil
	case repeats(next.Reason) && o.previous() != nil && o.previous().Status == next.Status && o.previous().Reason == next.Reason:
		return nil
	}
	return &announcement{corev1.EventTypeWarning, v1alpha1.ReasonJoinFailed, fmt.Sprintf("Machine %s does not join: %s: %s", name, next.Reason, next.Message+findings(o, next.Message))}
}

// failsToJoin tells the reasons that need somebody's eye from those that time heals.
func failsToJoin(reason string) bool {
	return slices.Contains(joinFailures, reason) || slices.Contains(providerFailures, reason) || repeats(reason)
}

// repeats tells the reasons whose messages go on changing while the trouble is the same.
func repeats(reason string) bool {
	return reason == v1alpha1.ReasonExited || reason == v1alpha1.ReasonNotJoined || reason == v1alpha1.ReasonNotReported
}

// findings are the preflight's errors, when the message does not have them already.
func findings(o *observed, said string) string {
	if o.agent == nil {
		return ""
	}
	text := ""
	for _, finding := range o.agent.Status.Findings {
		if finding.Severity == v1alpha1.FindingError && !strings.Contains(said, finding.Message) {
			text += fmt.Sprintf("; %s: %s", finding.Name, finding.Message)
		}
	}
	const most = 700 // of v1alpha1.MaxMessage
	return v1alpha1.Shorten(text, most)
}
