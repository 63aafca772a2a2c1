package planner

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestABlockedDrainSaysHowLongItIsWaitedFor where the pool has a drain timeout.
func TestABlockedDrainSaysHowLongItIsWaitedFor(t *testing.T) {
	at := epoch.Add(time.Hour)
	began := func(m *clusterv1.Machine) {
		m.Status.Deletion = &clusterv1.MachineDeletionStatus{NodeDrainStartTime: metav1.NewTime(at)}
	}
	within := func(seconds int32) func(*clusterv1.Machine) {
		return func(m *clusterv1.Machine) { m.Spec.Deletion.NodeDrainTimeoutSeconds = ptr.To(seconds) }
	}
	until := ", which is waited for until " + at.Add(time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		reason  string
		machine []func(*clusterv1.Machine)
		drains  []Drain
		ends    string
	}{
		{"it goes with its pods in the end", []func(*clusterv1.Machine){draining(refusedDrain), began, within(3600)}, nil, "has 2 currently" + until},
		{"it has no time limit", []func(*clusterv1.Machine){draining(refusedDrain), began}, nil, "has 2 currently"},
		{"0 is none", []func(*clusterv1.Machine){draining(refusedDrain), began, within(0)}, nil, "has 2 currently"},
		{"nobody knows yet when it began", []func(*clusterv1.Machine){draining(refusedDrain), within(3600)}, nil, "has 2 currently"},
		{"it is changed with its pods in the end", []func(*clusterv1.Machine){outdated}, []Drain{{Name: newMachine(0).Name, Message: refusedDrain, Until: at.Add(time.Hour)}}, "has 2 currently" + until},
		{"it never is", []func(*clusterv1.Machine){outdated}, []Drain{{Name: newMachine(0).Name, Message: refusedDrain}}, "has 2 currently"},
	} {
		s := snapshot(newPool(1, 9), newMachine(0, c.machine...))
		hasAgents(runs(0, "r0"))(&s)
		status, _ := reportOf(s, Outcome{Drains: c.drains})
		if _, message := messageOf(status, v1alpha1.DrainBlockedCondition); !strings.HasSuffix(message, c.ends) {
			t.Errorf("%s: the pool says %q, want it to end in %q", c.reason, message, c.ends)
		}
		_, progress := messageOf(status, v1alpha1.ReconcilingCondition)
		most := " is drained (until " + at.Add(time.Hour).UTC().Format(time.RFC3339) + " at most) before it is given"
		if want := len(c.drains) > 0 && !c.drains[0].Until.IsZero(); strings.Contains(progress, most) != want {
			t.Errorf("%s: the pool says %q, want %q in it: %t", c.reason, progress, most, want)
		}
	}
}

// TestANodeThatIsChangedWithItsPodsIsTold, with what is left there.
func TestANodeThatIsChangedWithItsPodsIsTold(t *testing.T) {
	s := snapshot(newPool(1, 9, isUpdating(0)), newMachine(0, outdated))
	hasAgents(runs(0, "r0"))(&s)
	_, events := reportOf(s, Outcome{Forced: []Drain{{Name: newMachine(0).Name, Message: refusedDrain}}})
	for _, e := range events {
		if e.Reason == v1alpha1.ReasonDrainTimedOut && e.Type == "Warning" && e.Machine == newMachine(0).Name && !e.OfStatus && strings.Contains(e.Note, "shop/web-1") {
			return
		}
	}
	t.Errorf("no event tells it: %+v", events)
}
