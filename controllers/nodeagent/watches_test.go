package nodeagent

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestAnEditOfReplicasIsNoWorkForTheMachines that are there: each would be looked at.
func TestAnEditOfReplicasIsNoWorkForTheMachines(t *testing.T) {
	for _, c := range []struct {
		reason string
		edit   func(*v1alpha1.NodePool)
		want   bool
	}{
		{"its status", func(p *v1alpha1.NodePool) { p.Status.Replicas = ptr.To[int32](3); p.Generation-- }, false},
		{"the revision that they are to run", func(p *v1alpha1.NodePool) { p.Status.Revision = "b"; p.Generation-- }, true},
		{"how many machines it is to have", func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](3) }, false},
		{"that they are one again", func(p *v1alpha1.NodePool) { p.Spec.Replicas = nil }, false},
		{"a label of its Nodes", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": "web"}
		}, true},
		{"both", func(p *v1alpha1.NodePool) { p.Spec.Replicas = nil; p.Spec.Paused = ptr.To(true) }, true},
		{"that it goes, which is a generation of its own", func(p *v1alpha1.NodePool) { p.DeletionTimestamp = ptr.To(metav1.Now()) }, true},
	} {
		before := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
		before.Spec.Replicas = ptr.To[int32](2)
		after := before.DeepCopy()
		after.Generation++
		c.edit(after)
		if got := poolChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
			t.Errorf("%s: the pool's machines are looked at: %t, want %t", c.reason, got, c.want)
		}
	}
}
