package v1alpha1

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

func TestDrained(t *testing.T) {
	now := metav1.NewTime(time.Unix(1, 0))
	cases := []struct {
		reason  string
		deleted *metav1.Time
		says    string
		want    bool
	}{
		{"a Machine that stays is not", nil, clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason, false},
		{"one that Cluster API has yet to look at is not", &now, "", false},
		{"one whose pods are being evicted is not", &now, clusterv1.MachineDeletingDrainingNodeReason, false},
		{"one whose volumes are attached is not", &now, clusterv1.MachineDeletingWaitingForVolumeDetachReason, false},
		{"one that Cluster API failed at is not", &now, clusterv1.MachineDeletingInternalErrorReason, false},
		{"one that waits for its infrastructure to go is", &now, clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason, true},
		{"one whose Node is being deleted is", &now, clusterv1.MachineDeletingDeletingNodeReason, true},
	}
	for _, c := range cases {
		machine := &clusterv1.Machine{}
		machine.DeletionTimestamp = c.deleted
		if c.says != "" {
			machine.Status.Conditions = []metav1.Condition{{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: c.says}}
		}
		if got := Drained(machine); got != c.want {
			t.Errorf("%s: got %v", c.reason, got)
		}
	}
}
