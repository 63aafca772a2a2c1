package engine

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestTheFirstStatusIsKeptBackWhileAMachineWaits(t *testing.T) {
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	phase := func(p clusterv1.MachinePhase) func(*clusterv1.Machine) {
		return func(m *clusterv1.Machine) { m.Status.SetTypedPhase(p) }
	}
	deleted := func(m *clusterv1.Machine) { m.DeletionTimestamp = &metav1.Time{Time: born} }
	joined := func(m *clusterv1.Machine) { m.Status.NodeRef.Name = "m" }
	gated := func(m *clusterv1.Machine) {
		m.Spec.ReadinessGates = []clusterv1.MachineReadinessGate{{ConditionType: v1alpha1.MachineAgentHealthyCondition}}
	}
	healthy := func(m *clusterv1.Machine) {
		conditions.Set(m, metav1.Condition{Type: v1alpha1.MachineAgentHealthyCondition, Status: metav1.ConditionTrue, Reason: "Healthy"})
	}
	type edits []func(*clusterv1.Machine)
	for _, c := range []struct {
		reason   string
		read     edits
		made     edits
		after    time.Duration
		noQueue  bool
		kept     bool
		lookedAt time.Duration
	}{
		{reason: "it waits for its infrastructure", made: edits{phase(clusterv1.MachinePhasePending)}, kept: true, lookedAt: firstStatusWithin},
		{reason: "it still does", made: edits{phase(clusterv1.MachinePhasePending)}, after: 1500 * time.Millisecond, kept: true, lookedAt: firstStatusWithin - 1500*time.Millisecond},
		{reason: "it did for long enough", made: edits{phase(clusterv1.MachinePhasePending)}, after: firstStatusWithin},
		{reason: "its agent has yet to speak", made: edits{joined, gated}, kept: true, lookedAt: firstStatusWithin},
		{reason: "its agent has spoken", made: edits{joined, gated, healthy}},
		{reason: "it has no agent", made: edits{joined}},
		{reason: "its status was written before", read: edits{phase(clusterv1.MachinePhasePending)}, made: edits{phase(clusterv1.MachinePhaseProvisioning)}},
		{reason: "it is deleted", read: edits{deleted}},
		{reason: "it is deleted meanwhile", made: edits{deleted}},
		{reason: "nobody would look at it again", made: edits{phase(clusterv1.MachinePhasePending)}, noQueue: true},
	} {
		n, again := &newborns{}, time.Duration(0)
		if !c.noQueue {
			n.again = func(_ reconcile.Request, after time.Duration) { again = after }
		}
		machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "m", UID: types.UID("1")}}
		for _, edit := range c.read {
			edit(machine)
		}
		n.read(machine, born)
		n.read(machine, born.Add(c.after))
		for _, edit := range c.made {
			edit(machine)
		}
		if got := n.keeps(machine, born.Add(c.after)); got != c.kept || again != c.lookedAt {
			t.Errorf("%s: it is kept back: %t, and looked at again after %s, want %t and %s", c.reason, got, again, c.kept, c.lookedAt)
		}
		if !c.kept && len(n.since) > 0 {
			t.Errorf("%s: it is remembered for ever: %v", c.reason, n.since)
		}
	}
}

// TestAMachineThatIsReadyAtOnceTakesOneStatus of Cluster API's: what it says before is not written, but its spec is.
func TestAMachineThatIsReadyAtOnceTakesOneStatus(t *testing.T) {
	r := newReconciled(t, interceptor.Funcs{})
	asked := 0
	r.held.coalesced.newborns.again = func(reconcile.Request, time.Duration) { asked++ }
	r.read()
	r.change(clusterv1.MachinePhasePending)
	r.machine.Spec.ProviderID = "a://m"
	if err := r.patch(); err != nil {
		t.Fatal(err)
	}
	if live := r.live(); r.requests() != 0 || asked == 0 || live.Status.Phase != "" || live.Spec.ProviderID != "a://m" {
		t.Errorf("the status took %d requests and is %q, the provider ID is %q, and the Machine is looked at again %d times", r.requests(), live.Status.Phase, live.Spec.ProviderID, asked)
	}

	r.read()
	r.change(clusterv1.MachinePhaseRunning)
	r.machine.Status.NodeRef.Name = "m"
	want := r.machine.Status.DeepCopy()
	want.ObservedGeneration = r.machine.Generation
	if err := r.patch(); err != nil {
		t.Fatal(err)
	}
	r.written(1, want)
}

// TestAMachineThatWentBeforeItHadAStatusIsForgotten, some time later: no read tells of its end then.
func TestAMachineThatWentBeforeItHadAStatusIsForgotten(t *testing.T) {
	n := &newborns{again: func(reconcile.Request, time.Duration) {}}
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{UID: "1"}}
	now := time.Now()
	n.read(machine, now)
	machine.UID = "2"
	n.read(machine, now.Add(2*time.Minute))
	if len(n.since) != 1 {
		t.Errorf("%d Machines are remembered, want the last alone", len(n.since))
	}
}
