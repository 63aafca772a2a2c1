package nodepool_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/fields"
)

// TestNoFieldOfAPoolThatGitMayHaveIsTheManagers, whatever it did to the pool's machines. Otherwise Argo CD, which applies the
// pool from Git without force, would have a conflict, or take the field back at each sync.
func TestNoFieldOfAPoolThatGitMayHaveIsTheManagers(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	const git, manager = "argocd-controller", "drover-manager"
	user := rest.CopyConfig(f.Config)
	user.UserAgent = manager + "/test"
	f.startManagerAs(user)
	f.pool = f.site.pool("from-git", 2)
	sync := func(edits ...func(*v1alpha1.NodePool)) {
		t.Helper()
		for _, edit := range edits {
			edit(f.pool)
		}
		manifest := f.manifest()
		if err := f.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(manifest), client.FieldOwner(git)); err != nil {
			t.Fatal(err)
		}
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil {
			t.Fatal(err)
		}
	}
	scaled := func(n int32) func(*v1alpha1.NodePool) { return func(p *v1alpha1.NodePool) { p.Spec.Replicas = &n } }

	sync()
	f.eventually("two nodes run the template", func() error { f.play(); return f.updated(2) })
	sync(maxPods(42), scaled(3))
	f.eventually("three run another one", func() error { f.play(); return f.updated(3) })
	sync(scaled(1))
	f.eventually("one is left", func() error { f.play(); return f.updated(1) })
	f.refuses = func(*v1alpha1.NodeAgent) bool { return true }
	sync(maxPods(43))
	f.eventually("it went back", func() error {
		f.play()
		return f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack)
	})
	sync(func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(true) })
	f.eventually("it is paused", func() error {
		return f.hasCondition(f.pool, v1alpha1.SuspendedCondition, v1alpha1.ReasonPaused)
	})

	got, err := fields.Of(f.pool)
	if err != nil {
		t.Fatal(err)
	}
	delete(got, git)
	want := map[string][]string{manager: {
		"/f:metadata/f:annotations/f:" + v1alpha1.NextOrdinalAnnotation,
		`/f:metadata/f:finalizers/v:"` + v1alpha1.NodePoolFinalizer + `"`,
		"status",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who has which fields beside Git (-want +got):\n%s", diff)
	}
}

// manifest is the pool as somebody has it in Git.
func (f *fleet) manifest() *unstructured.Unstructured {
	f.t.Helper()
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&f.pool.Spec)
	if err != nil {
		f.t.Fatal(err)
	}
	manifest := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	manifest.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodePool"))
	manifest.SetNamespace(f.namespace)
	manifest.SetName(f.pool.Name)
	manifest.SetLabels(map[string]string{"team": "web"})
	manifest.SetAnnotations(map[string]string{"example.org/from": "git"})
	return manifest
}
