package planner

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxEvents is how many machines get an event each. More at once share one.
	maxEvents = 5
	// maxSample is how many names a message has.
	maxSample = 3
)

// machineEvents tell what was done to which machine and why.
func machineEvents(actions []Action, reason, action, done string) []Event {
	if len(actions) > maxEvents {
		first, last := actions[0], actions[len(actions)-1]
		return []Event{{
			Type: corev1.EventTypeNormal, Reason: reason, Action: action,
			Note: fmt.Sprintf("%s %d Machines, %s to %s: %s", done, len(actions), first.Name, last.Name, first.Reason),
		}}
	}
	list := make([]Event, 0, len(actions))
	for _, a := range actions {
		list = append(list, Event{
			Type: corev1.EventTypeNormal, Reason: reason, Action: action, Machine: a.Name, MachineUID: a.UID,
			Note: fmt.Sprintf("%s Machine %s: %s", done, a.Name, a.Reason),
		})
	}
	return list
}

// becameTrue makes an event of a condition that is True now and was not, or had another reason.
func becameTrue(before, after []metav1.Condition, conditionType string) (Event, bool) {
	now := meta.FindStatusCondition(after, conditionType)
	if now == nil || now.Status != metav1.ConditionTrue {
		return Event{}, false
	}
	if was := meta.FindStatusCondition(before, conditionType); was != nil && was.Status == now.Status && was.Reason == now.Reason {
		return Event{}, false
	}
	return Event{Type: corev1.EventTypeWarning, Reason: now.Reason, Action: "Reconcile", OfStatus: true, Note: now.Message}, true
}

// sample is the beginning of a list of names, with how many more there are.
func sample(names []string) []string {
	if len(names) <= maxSample {
		return names
	}
	return append(append([]string{}, names[:maxSample]...), fmt.Sprintf("%d more", len(names)-maxSample))
}
