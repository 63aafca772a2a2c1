package nodepool

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestAHeartbeatIsNoWorkForAPool: a thousand nodes have three of them a second.
func TestAHeartbeatIsNoWorkForAPool(t *testing.T) {
	for _, c := range []struct {
		reason string
		edit   func(*v1alpha1.NodeAgent)
		want   bool
	}{
		{"a heartbeat", func(a *v1alpha1.NodeAgent) { a.Status.HeartbeatTime = metav1.Now() }, false},
		{"a component's restart", func(a *v1alpha1.NodeAgent) { a.Status.Components = []v1alpha1.ComponentStatus{{Name: "kubelet"}} }, false},
		{"a condition, which the Machine mirrors", func(a *v1alpha1.NodeAgent) { a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition}} }, false},
		{"another spec", func(a *v1alpha1.NodeAgent) { a.Generation++ }, true},
		{"it was heard of", func(a *v1alpha1.NodeAgent) { a.Status.ObservedGeneration++ }, true},
		{"another phase", func(a *v1alpha1.NodeAgent) { a.Status.Phase = v1alpha1.PhaseCommitted }, true},
		{"another revision runs", func(a *v1alpha1.NodeAgent) { a.Status.CurrentRevision = "r2" }, true},
		{"one went back", func(a *v1alpha1.NodeAgent) { a.Status.FailedRevision = &v1alpha1.FailedRevision{Revision: "r2"} }, true},
		{"it is another pool's", func(a *v1alpha1.NodeAgent) { a.Labels = nil; a.Generation++ }, false},
	} {
		before := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.PoolLabel: "p"}}}
		after := before.DeepCopy()
		c.edit(after)
		if got := agentChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
			t.Errorf("%s: the pool is looked at: %t, want %t", c.reason, got, c.want)
		}
	}
}

// TestWhatMakesAMachineUnhealthyIsWorkForItsPool, and no other word of its Node's.
func TestWhatMakesAMachineUnhealthyIsWorkForItsPool(t *testing.T) {
	for _, c := range []struct {
		conditionType, reason string
		want                  bool
	}{
		{clusterv1.MachineNodeReadyCondition, clusterv1.MachineNodeReadyUnknownReason, true},
		{clusterv1.MachineNodeReadyCondition, clusterv1.MachineNodeNotReadyReason, true},
		{clusterv1.MachineNodeReadyCondition, clusterv1.MachineNodeConnectionDownReason, false},
		{clusterv1.MachineNodeReadyCondition, clusterv1.MachineNodeReadyReason, false},
		{clusterv1.MachineInfrastructureReadyCondition, clusterv1.MachineInfrastructureDeletedReason, true},
		{clusterv1.MachineInfrastructureReadyCondition, v1alpha1.ReasonStopped, true},
		{clusterv1.MachineInfrastructureReadyCondition, clusterv1.MachineInfrastructureNotReadyReason, false},
	} {
		before := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.PoolLabel: "p"}}}
		after := before.DeepCopy()
		after.Status.Conditions = []metav1.Condition{{Type: c.conditionType, Status: metav1.ConditionUnknown, Reason: c.reason}}
		if got := machineChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
			t.Errorf("%s with %s: the pool is looked at: %t, want %t", c.conditionType, c.reason, got, c.want)
		}
	}
}

// TestARequestIsWorkForItsPool, and so is that it is taken back.
func TestARequestIsWorkForItsPool(t *testing.T) {
	machine := func(healthy, owner metav1.ConditionStatus) *clusterv1.Machine {
		m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.PoolLabel: "p"}}}
		for conditionType, status := range map[string]metav1.ConditionStatus{clusterv1.MachineHealthCheckSucceededCondition: healthy, clusterv1.MachineOwnerRemediatedCondition: owner} {
			if status != "" {
				m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{Type: conditionType, Status: status})
			}
		}
		return m
	}
	nothing, well, sick, back := machine("", ""), machine("True", ""), machine("False", "False"), machine("True", "False")
	for _, c := range []struct {
		reason        string
		before, after *clusterv1.Machine
		want          bool
	}{
		{"a check that finds nothing", nothing, well, false},
		{"a check that asks", well, sick, true},
		{"a check that takes it back", sick, back, true},
		{"our own word that nobody asks", back, well, true},
	} {
		if got := machineChanged().Update(event.UpdateEvent{ObjectOld: c.before, ObjectNew: c.after}); got != c.want {
			t.Errorf("%s: the pool is looked at: %t, want %t", c.reason, got, c.want)
		}
	}
}
