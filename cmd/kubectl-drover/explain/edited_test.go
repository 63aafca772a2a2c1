package explain

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// applied is a pool that was applied with so many pods on each node, and that an autoscaler has scaled to 7 since.
func applied(t *testing.T) *v1alpha1.NodePool {
	t.Helper()
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers", UID: "u"}}
	pool.Spec.Template.Spec.Version = "v1.37.2"
	pool.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](60)
	pool.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: toJSON(t, manifestOf("v1.37.2", "maxPods: 60"))}
	pool.Spec.Replicas = ptr.To[int32](7)
	pool.Spec.Template.Spec.Network.Mode = v1alpha1.NetworkModeRoutes // a default of the schema's
	pool.Status.Revision = "abc"
	return pool
}

func manifestOf(version, kubelet string) string {
	return "apiVersion: fleet.drover.dev/v1alpha1\nkind: NodePool\nmetadata: {name: workers, namespace: default}\n" +
		"spec: {template: {spec: {version: " + version + ", infrastructureRef: {apiGroup: fleet.drover.dev, kind: LocalMachineTemplate, name: small}, kubelet: {" + kubelet + "}}}}\n"
}

func toJSON(t *testing.T, text string) string {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAnEditIsWhatApplyMakesOfIt(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		maxPods  *int32
		version  string
	}{
		"a changed value is another one":               {manifestOf("v1.37.2", "maxPods: 80"), ptr.To[int32](80), "v1.37.2"},
		"a field that was applied and is gone is gone": {manifestOf("v1.37.2", ""), nil, "v1.37.2"},
		"what was not edited stays":                    {manifestOf("v1.37.3", "maxPods: 60"), ptr.To[int32](60), "v1.37.3"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := applied(t)
			got, err := edit(pool, []byte(toJSON(t, c.manifest)))
			if err != nil {
				t.Fatal(err)
			}
			spec := got.Spec.Template.Spec
			if !ptr.Equal(spec.Kubelet.MaxPods, c.maxPods) || spec.Version != c.version {
				t.Errorf("maxPods is %v and the version %s, want %v and %s", ptr.Deref(spec.Kubelet.MaxPods, 0), spec.Version, ptr.Deref(c.maxPods, 0), c.version)
			}
			if *got.Spec.Replicas != 7 || spec.Network.Mode != v1alpha1.NetworkModeRoutes || got.UID != "u" || got.Status.Revision != "abc" {
				t.Errorf("what is others' to say has become %+v", got)
			}
		})
	}
}

func TestAManifestThatIsNoneIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ manifest, says string }{
		"a field that is none":       {manifestOf("v1.37.2", "maxpod: 3"), "maxpod"},
		"a value of another type":    {manifestOf("v1.37.2", "maxPods: many"), "maxPods"},
		"another pool":               {strings.ReplaceAll(manifestOf("v1.37.2", ""), "name: workers", "name: others"), "has no NodePool default/workers"},
		"a pool of that name abroad": {strings.ReplaceAll(manifestOf("v1.37.2", ""), "namespace: default", "namespace: web"), "has no NodePool default/workers"},
		"no YAML":                    {"a: [", "read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "edited.yaml")
			if err := os.WriteFile(path, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: workers}\n---\n"+c.manifest), 0o600); err != nil {
				t.Fatal(err)
			}
			pool := applied(t)
			manifest, err := readEdited(path, pool, nil)
			if err == nil {
				_, err = edit(pool, manifest)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestTheManifestIsFoundAmongOthers(t *testing.T) {
	pool := applied(t)
	raw, err := readEdited("-", pool, strings.NewReader("kind: ConfigMap\nmetadata: {name: workers}\n---\n"+manifestOf("v1.37.9", "")))
	if err != nil {
		t.Fatal(err)
	}
	var found v1alpha1.NodePool
	if err := json.Unmarshal(raw, &found); err != nil || found.Spec.Template.Spec.Version != "v1.37.9" {
		t.Errorf("found %s, %v", raw, err)
	}
}
