package nodepool_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// moved has a pool of two machines ask for another infrastructure, plays its machines' part until all are made of that, and returns the
// most and the fewest Machines that were seen, those that are being deleted not counted.
func moved(t *testing.T, name, surge string) (most, fewest int) {
	t.Helper()
	f := startFleet(t, name, 2)
	f.create(&v1alpha1.LocalMachineTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "large"},
		Spec:       v1alpha1.LocalMachineTemplateSpec{Template: v1alpha1.LocalMachineTemplateResource{Spec: v1alpha1.LocalMachineSpec{CPUs: ptr.To[int32](8)}}},
	})
	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		p.Spec.Template.Spec.InfrastructureRef.Name = "large"
		p.Spec.Rollout.MaxSurge = ptr.To(intstr.Parse(surge))
	})
	older, fewest := f.pool.Status.Revision, 2
	f.eventually("machines are replaced", func() error {
		f.play()
		active, stale := 0, 0
		for _, m := range f.machines() {
			switch {
			case !m.DeletionTimestamp.IsZero():
				continue
			case m.Labels[v1alpha1.RevisionLabel] == older:
				stale++
			}
			active++
		}
		most, fewest = max(most, active), min(fewest, active)
		if stale > 0 || active != 2 {
			return fmt.Errorf("%d Machines, %d of the older infrastructure", active, stale)
		}
		return f.updated(2)
	})
	for _, a := range f.agents() {
		if a.Generation != 1 {
			t.Errorf("a node was changed in place: %+v", a)
		}
	}
	return most, fewest
}

func TestMachinesOfAnotherInfrastructureAreReplaced(t *testing.T) {
	if most, fewest := moved(t, "moved", "1"); most != 3 || fewest != 2 {
		t.Errorf("there were %d to %d machines, want 2 to 3", fewest, most)
	}
}

func TestWithoutASurgeAMachineGoesFirst(t *testing.T) {
	if most, _ := moved(t, "in-turn", "0"); most != 2 {
		t.Errorf("there were up to %d machines, want 2", most)
	}
}
