package gitops

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// argocd is the directory under test, as seen from this package.
const argocd = "../../config/argocd"

// settings is argocd-cm as kustomize makes it.
func settings(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), argocd)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{}
	if err := yaml.UnmarshalStrict(text, settings); err != nil {
		t.Fatal(err)
	}
	return settings
}

// setting is one of a kind, which is group/kind; empty if there is none.
func setting(t *testing.T, name, kind string) string {
	t.Helper()
	return settings(t).Data["resource.customizations."+name+"."+strings.ReplaceAll(kind, "/", "_")]
}

func actionsOf(t *testing.T, kind string) actions {
	t.Helper()
	var a actions
	if err := yaml.UnmarshalStrict([]byte(setting(t, "actions", kind)), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// object is one that was recorded, as kind/state.
func object(t *testing.T, kind, state string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(argocd, kind, "testdata", state+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	return u
}

// states are those that were recorded, as kind/state.
func states(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(argocd + "/*/*/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		kind := filepath.Dir(filepath.Dir(path))
		paths[i] = strings.TrimPrefix(kind, argocd+"/") + "/" + strings.TrimSuffix(filepath.Base(path), ".yaml")
	}
	slices.Sort(paths)
	return paths
}
