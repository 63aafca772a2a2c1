package desired_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

func TestWhatARevisionStandsForIsRestoredAndNothingElse(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	first, later, unknown := artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2"), artifact("riscv64", "a.example", "3")
	stored := v1alpha1.NodeAgentSpec{Revision: "abc", Version: "v1.36.5", Artifacts: []v1alpha1.Artifact{first}}
	stored.Kubelet.MaxPods = ptr.To[int32](30)
	further := `[{"architecture":"arm64","image":"` + later.Image + `"}]`
	with := func(edit func(*v1alpha1.NodeAgentSpec)) v1alpha1.NodeAgentSpec {
		spec := *stored.DeepCopy()
		spec.Cluster.Server, spec.Agent = "https://its-own:6443", &v1alpha1.AgentRelease{Version: "v0.9.0"}
		edit(&spec)
		return spec
	}
	has := func(artifacts ...v1alpha1.Artifact) func(*v1alpha1.NodeAgentSpec) {
		return func(s *v1alpha1.NodeAgentSpec) { s.Artifacts = artifacts }
	}
	for _, c := range []struct {
		reason       string
		edited, want func(*v1alpha1.NodeAgentSpec)
	}{
		{"nothing was edited", has(first), has(first)},
		{"a setting", func(s *v1alpha1.NodeAgentSpec) { s.Kubelet.MaxPods = nil }, has(first, later)},
		{"the version", func(s *v1alpha1.NodeAgentSpec) { s.Version = "v1.35.0" }, has(first, later)},
		{"another bundle", has(artifact("amd64", "a.example", "f"), unknown), has(first, later, unknown)},
		{"another bundle of an architecture that was added", has(first, artifact("arm64", "a.example", "f")), has(first, later)},
		{"the bundle was taken away", has(later), has(first, later)},
		{"the same bundle from elsewhere is no edit", has(artifact("amd64", "b.example", "1")), has(artifact("amd64", "b.example", "1"))},
		{"nor is an architecture that the revision does not know", has(first, unknown), has(first, unknown)},
	} {
		spec := with(c.edited)
		if err := desired.Restore(t.Context(), fake.NewClientBuilder().WithScheme(scheme).Build(), &spec, revision(t, further, stored)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(with(c.want), spec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
	}
}

// TestABundleThatWasMadeAnewIsNotRestored onto nodes of an architecture that their revision does not know: it may be another one
// there, for which nobody has drained them.
func TestABundleThatWasMadeAnewIsNotRestored(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	first, runs, anew := artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2"), artifact("arm64", "a.example", "3")
	there := bundle(first, anew)
	there.Name = "anew"
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(there).Build()
	stored := v1alpha1.NodeAgentSpec{Revision: "abc", Version: "v1.36.5", Artifacts: []v1alpha1.Artifact{first}}
	for reason, edited := range map[string]*int32{"nothing was edited": nil, "a setting was": ptr.To[int32](7)} {
		spec, want := *stored.DeepCopy(), *stored.DeepCopy()
		spec.Artifacts, want.Artifacts = []v1alpha1.Artifact{first, runs}, []v1alpha1.Artifact{first, runs}
		spec.Kubelet.MaxPods = edited
		if err := desired.Restore(t.Context(), reader, &spec, revision(t, "", stored)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, spec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}
