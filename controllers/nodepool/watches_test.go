package nodepool

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
