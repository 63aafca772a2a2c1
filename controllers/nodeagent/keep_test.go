package nodeagent

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/sides"
)

// stored is a side that has these objects, in its cache and live.
func stored(t *testing.T, objects ...client.Object) sides.Side {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, appsv1.AddToScheme, clusterv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return sides.Side{Client: c, Live: c}
}

func storedRevision(t *testing.T, name string) *appsv1.ControllerRevision {
	t.Helper()
	raw, err := json.Marshal(v1alpha1.NodeAgentSpec{Revision: name, Version: "v1.36.5"})
	if err != nil {
		t.Fatal(err)
	}
	revision := &appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: raw}}
	revision.Namespace, revision.Name = "default", v1alpha1.RevisionName("workers", name)
	return revision
}

// madeFromABC is a Machine that was not told anything else.
func madeFromABC() *clusterv1.Machine {
	machine := &clusterv1.Machine{}
	machine.Namespace, machine.Name, machine.UID = "default", "workers-0", "uid"
	machine.Labels = map[string]string{v1alpha1.PoolLabel: "workers", v1alpha1.RevisionLabel: "abc"}
	return machine
}

// TestWhatAnotherWroteMeanwhileIsNotPutBack, as a node may be told another revision by now.
func TestWhatAnotherWroteMeanwhileIsNotPutBack(t *testing.T) {
	machine, seen := madeFromABC(), &v1alpha1.NodeAgent{}
	seen.Name, seen.Labels = machine.Name, agentLabels(machine)
	seen.Spec.Revision, seen.Spec.Version, seen.Spec.Kubelet.MaxPods = "abc", "v1.36.5", ptr.To[int32](7)
	side := stored(t, storedRevision(t, "abc"), seen)
	get := func(into *v1alpha1.NodeAgent) {
		if err := side.Get(t.Context(), client.ObjectKeyFromObject(seen), into); err != nil {
			t.Fatal(err)
		}
	}
	get(seen)
	there := seen.DeepCopy()
	there.Spec.Revision = "def"
	if err := side.Update(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Management: side, Workload: side, Facts: none{}, Recorder: events.NewFakeRecorder(8)}
	for _, c := range []struct {
		reason  string
		maxPods *int32
	}{{"what is seen of it is old", ptr.To[int32](7)}, {"what is seen of it is as it is", nil}} {
		if err := r.keepNodeAgent(t.Context(), &observed{machine: machine, pool: &v1alpha1.NodePool{}, agent: seen}); err != nil {
			t.Fatal(err)
		}
		get(there)
		if diff := cmp.Diff(c.maxPods, there.Spec.Kubelet.MaxPods); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
		there.Spec.Revision = "abc"
		if err := side.Update(t.Context(), there); err != nil {
			t.Fatal(err)
		}
		get(seen)
	}
}

// TestANodeAgentIsMadeAnewWithWhatWasToldLast, a moment ago as well, which no cache shows yet.
func TestANodeAgentIsMadeAnewWithWhatWasToldLast(t *testing.T) {
	machine := madeFromABC()
	machine.Status.NodeRef.Name = machine.Name
	told := machine.DeepCopy()
	told.Annotations = map[string]string{v1alpha1.ToldRevisionAnnotation: "def"}
	side := stored(t, storedRevision(t, "abc"), storedRevision(t, "def"), machine)
	side.Live = stored(t, told).Live
	agent, err := (&Reconciler{Management: side, Workload: side, Facts: none{}}).newNodeAgent(t.Context(), machine)
	if err != nil || agent.Spec.Revision != "def" {
		t.Errorf("got %+v, %v", agent, err)
	}
}
