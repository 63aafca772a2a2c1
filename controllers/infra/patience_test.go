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
	cases := []struct {
		reason      string
		machine     *clusterv1.Machine
		terminating bool
		waited      time.Duration
		want        time.Duration
	}{
		{"nobody's machine goes at once", nil, false, 0, 0},
		{"a Machine that is not deleted yet may be in a moment", &clusterv1.Machine{}, false, 5 * time.Second, ownerGrace - 5*time.Second},
		{"but then this one was deleted by hand", &clusterv1.Machine{}, false, time.Minute, 0},
		{"a Machine that drains keeps its machine as long as it takes", deletedMachine(clusterv1.MachineDeletingDrainingNodeReason), false, time.Hour, drainRecheck},
		{"and lets go of it then", deletedMachine(clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason), false, 0, 0},
		{"a Machine of a namespace that is being deleted is about to be, however long that takes", &clusterv1.Machine{}, true, time.Hour, drainRecheck},
		{"nobody's machine goes there, too", nil, true, 0, 0},
	}
	for _, c := range cases {
		if got := awaitDrain(c.machine, c.terminating, c.waited); got != c.want {
			t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
		}
	}
}

// apart are how wrong the API server's clock may be, as we see it.
var apart = []time.Duration{-time.Hour, 0, time.Hour}

func TestAMachineWaitsAsLongAsWeSawIt(t *testing.T) {
	for _, wrong := range apart {
		s := newStage(t, func(m *v1alpha1.LocalMachine) {
			m.CreationTimestamp, m.OwnerReferences = metav1.NewTime(start.Add(wrong)), nil
		})
		if result := s.reconcile(); result.RequeueAfter != patience || s.ready().Reason != "" {
			t.Errorf("with a clock %s apart, a new machine is tried again after %s, and Ready is %+v; want silence for %s", wrong, result.RequeueAfter, s.ready(), patience)
		}
		s.clock.SetTime(start.Add(patience))
		if s.reconcile(); s.ready().Reason != v1alpha1.ReasonWaitingForMachine {
			t.Errorf("with a clock %s apart, Ready is %+v after %s; want what it waits for", wrong, s.ready(), patience)
		}
	}
}

// TestAMachineDeletedBesideItsMachineIsDrained: the Machine's deletion may come after that of what it stands on.
func TestAMachineDeletedBesideItsMachineIsDrained(t *testing.T) {
	for _, wrong := range apart {
		s := newStage(t, func(m *v1alpha1.LocalMachine) {
			m.DeletionTimestamp, m.Finalizers = &metav1.Time{Time: start.Add(wrong)}, []string{(&slowProvider{}).Kind().Finalizer}
		})
		s.provider.removal = Removal{Gone: true}
		if result := s.reconcile(); result.RequeueAfter != ownerGrace || s.gone() {
			t.Errorf("with a clock %s apart, a machine is removed: %t, and looked at after %s; want its pods to have %s", wrong, s.gone(), result.RequeueAfter, ownerGrace)
		}
		s.clock.SetTime(start.Add(ownerGrace))
		if s.reconcile(); !s.gone() {
			t.Errorf("with a clock %s apart, the machine is there for good: want it removed after %s", wrong, ownerGrace)
		}
	}
}

func deletedMachine(reason string) *clusterv1.Machine {
	now := metav1.Now()
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}
	machine.Status.Conditions = []metav1.Condition{{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: reason, LastTransitionTime: now}}
	return machine
}
