package host

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestTheHostOfARepairedMachineIsQuarantined until somebody says that it is well, and the next machine claims another.
func TestTheHostOfARepairedMachineIsQuarantined(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.serve("a", "first")
	machine := &clusterv1.Machine{}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "first"}, machine); err != nil {
		t.Fatal(err)
	}
	machine.Finalizers = []string{"test.example/drained"} // It goes after its HostMachine, as in life.
	metav1.SetMetaDataAnnotation(&machine.ObjectMeta, v1alpha1.QuarantineAnnotation, "its machine was replaced: it is silent")
	if err := s.Client.Update(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	meta.SetStatusCondition(&machine.Status.Conditions, metav1.Condition{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason})
	if err := s.Client.Status().Update(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	s.told()
	s.remove("first")
	s.make("first")
	s.look("a")
	if m := s.make("first"); m != nil {
		t.Fatalf("the HostMachine is still there: %+v", m.Status.Conditions)
	}
	h := s.look("a")
	if h.Status.State != v1alpha1.HostQuarantined || unavailable(h) != v1alpha1.ReasonQuarantined || b.has("installed") || !strings.Contains(ptr.Deref(messageOf(h), ""), "it is silent") {
		t.Errorf("the Host is %s (%s), and says %q; installed %t", h.Status.State, unavailable(h), ptr.Deref(messageOf(h), ""), b.has("installed"))
	}
	if told := strings.Join(s.told(), "\n"); !strings.Contains(told, "Quarantined") {
		t.Errorf("it is told as %s", told)
	}
	s.machine("second")
	if m := s.make("second"); m.Status.Host != "" {
		t.Errorf("the next machine has Host %q", m.Status.Host)
	}
	before := h.DeepCopy()
	delete(h.Annotations, v1alpha1.QuarantineAnnotation)
	if err := s.Client.Patch(t.Context(), h, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	s.look("a")
	if m := s.make("second"); m.Status.Host != "a" {
		t.Errorf("when somebody has looked at it, the next machine has Host %q: %+v", m.Status.Host, m.Status.Conditions)
	}
	machine.Finalizers = nil
	if err := client.IgnoreNotFound(s.Client.Patch(t.Context(), machine, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))); err != nil {
		t.Error(err)
	}
}
