package demo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestPoolState(t *testing.T) {
	condition := func(kind, status, message string) any {
		return map[string]any{"type": kind, "status": status, "message": message}
	}
	tests := map[string]struct {
		reason     string
		observed   int64
		conditions []any
		detail     string
		done       bool
	}{
		"not seen": {
			reason:     "Ready may be about an older spec.",
			observed:   1,
			conditions: []any{condition("Ready", "True", "")},
			detail:     "the manager has not seen it yet",
		},
		"stalled": {
			reason:     "What a user must do is more telling than that it is not ready.",
			observed:   2,
			conditions: []any{condition("Ready", "False", "0 of 2"), condition("Stalled", "True", "no NodeBundle has v9")},
			detail:     "no NodeBundle has v9",
		},
		"on its way": {
			reason:     "The count is shown while one waits.",
			observed:   2,
			conditions: []any{condition("Ready", "False", "1 of 2")},
			detail:     "1 of 2",
		},
		"ready": {
			reason:     "Nothing is left to wait for.",
			observed:   2,
			conditions: []any{condition("Ready", "True", "2 of 2")},
			detail:     "2 of 2",
			done:       true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pool := &unstructured.Unstructured{Object: map[string]any{
				"metadata": map[string]any{"generation": int64(2)},
				"status":   map[string]any{"observedGeneration": tc.observed, "conditions": tc.conditions},
			}}
			if detail, done := poolState(pool); detail != tc.detail || done != tc.done {
				t.Errorf("poolState = %q, %t, want %q, %t: %s", detail, done, tc.detail, tc.done, tc.reason)
			}
		})
	}
}

func TestDeploymentState(t *testing.T) {
	wanted := int32(4)
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: &wanted}}
	deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 5, UpdatedReplicas: 4, AvailableReplicas: 4}
	if _, done := deploymentState(deployment); done {
		t.Error("done with a pod of the older template still there")
	}
	deployment.Status.Replicas = 4
	if detail, done := deploymentState(deployment); !done || detail != "4 of 4 pods available" {
		t.Errorf("deploymentState = %q, %t, want all 4 and done", detail, done)
	}
}

func TestWarningsNewestFirst(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC) }
	event := func(kind, reason string) corev1.Event {
		return corev1.Event{Type: kind, Reason: reason, Message: "m", InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p"}}
	}
	older, newer, normal, hidden := event("Warning", "Older"), event("Warning", "Newer"), event("Normal", "Fine"), event("Warning", "Oldest")
	older.LastTimestamp = metav1.NewTime(at(1))
	newer.EventTime = metav1.NewMicroTime(at(2))
	normal.LastTimestamp = metav1.NewTime(at(3))
	want := []string{"", "Newest warnings:", "  12:02:00 Pod/p: Newer: m", "  12:01:00 Pod/p: Older: m"}
	if diff := cmp.Diff(want, warnings([]corev1.Event{older, hidden, normal, newer}, 2)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := warnings([]corev1.Event{normal}, 2); got != nil {
		t.Errorf("warnings without any = %q, want nothing", got)
	}
}
