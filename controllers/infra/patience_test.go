package infra

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAMachineThatDoesNotJoinIsAskedLessAndLessOften(t *testing.T) {
	for age, want := range map[time.Duration]time.Duration{0: 3 * time.Second, time.Minute: 6 * time.Second, time.Hour: 30 * time.Second} {
		if got := askAgain(age); got != want {
			t.Errorf("a machine %s old is asked again after %s, want %s", age, got, want)
		}
	}
}

func TestAMachineStaysForItsPods(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }
	cases := []struct {
		reason      string
		machine     *clusterv1.Machine
		deleted     *metav1.Time
		terminating bool
		want        time.Duration
	}{
		{"nobody's machine goes at once", nil, at(0), false, 0},
		{"a Machine that is not deleted yet may be in a moment", &clusterv1.Machine{}, at(-5 * time.Second), false, ownerGrace - 5*time.Second},
		{"but then this one was deleted by hand", &clusterv1.Machine{}, at(-time.Minute), false, 0},
		{"a Machine that drains keeps its machine as long as it takes", deletedMachine(clusterv1.MachineDeletingDrainingNodeReason), at(-time.Hour), false, drainRecheck},
		{"and lets go of it then", deletedMachine(clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason), at(0), false, 0},
		{"a Machine of a namespace that is being deleted is about to be, however long that takes", &clusterv1.Machine{}, at(-time.Hour), true, drainRecheck},
		{"nobody's machine goes there, too", nil, at(0), true, 0},
	}
	for _, c := range cases {
		lm := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: c.deleted}}
		if got := awaitDrain(lm, c.machine, c.terminating, now); got != c.want {
			t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
		}
	}
}

func deletedMachine(reason string) *clusterv1.Machine {
	now := metav1.Now()
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}
	machine.Status.Conditions = []metav1.Condition{{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: reason, LastTransitionTime: now}}
	return machine
}
