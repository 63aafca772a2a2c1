package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	agentbundle "github.com/drover-dev/drover/agent/bundle"
)

// An upgrade that brings the same containerd must find it the same, to leave it running.
func TestBundlesOfTwoVersionsShareAllLayersButTheLast(t *testing.T) {
	root, kubernetes := t.TempDir(), t.TempDir()
	first := testBundle(t, true)
	second := *first
	second.programs = fromDirectories(filepath.Dir(first.pause), kubernetes)
	second.versions = map[string]string{"kubelet": "v1.37.1", "kube-proxy": "v1.37.1", "containerd": "v2.4.2", "runc": "v1.5.2", "cni": "v1.9.1", "pause": "3.10.2"}
	for _, name := range []string{"kubelet", "kube-proxy"} {
		write(t, filepath.Join(kubernetes, name), "another "+name)
	}

	for path, want := range map[string]string{"bin/kubelet": filepath.Join(kubernetes, "kubelet"), "bin/kube-proxy": filepath.Join(kubernetes, "kube-proxy"), "bin/runc": first.programs["bin/runc"]} {
		if got := second.programs[path]; got != want {
			t.Errorf("%s is taken from %s, want %s", path, got, want)
		}
	}

	one, other := layersOf(t, root, first), layersOf(t, root, &second)
	if len(one) != 4 || len(other) != 4 {
		t.Fatalf("the bundles have %d and %d layers, want 4", len(one), len(other))
	}
	if diff := cmp.Diff(one[:3], other[:3]); diff != "" {
		t.Errorf("layers of containerd, CNI plugins and images (-one +other):\n%s", diff)
	}
	if one[3] == other[3] {
		t.Error("the layers of the kubelet are one, with different kubelets")
	}
	index, err := layout.ImageIndexFromPath(root)
	must(t, err)
	manifest, err := index.IndexManifest()
	must(t, err)
	var tags []string
	for _, image := range manifest.Manifests {
		tags = append(tags, image.Annotations["org.opencontainers.image.ref.name"])
	}
	if diff := cmp.Diff([]string{"v1.36.3", "v1.37.1"}, tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// layersOf writes a bundle, and returns its layers' digests.
func layersOf(t *testing.T, root string, b *bundle) []v1.Hash {
	t.Helper()
	digest, err := b.write(root)
	must(t, err)
	image, err := imageOf(root, digest)
	must(t, err)
	manifest, err := image.Manifest()
	must(t, err)
	if got, want := manifest.Annotations[agentbundle.VersionAnnotation+"kubelet"], b.versions["kubelet"]; got != want {
		t.Errorf("the annotation says that the kubelet is %s, want %s", got, want)
	}
	var layers []v1.Hash
	for _, layer := range manifest.Layers {
		layers = append(layers, layer.Digest)
	}
	return layers
}

func TestTheNodeBundleNamesWhatTheDevelopmentWorldServes(t *testing.T) {
	b := testBundle(t, true)
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	const want = `apiVersion: fleet.drover.dev/v1alpha1
kind: NodeBundle
metadata:
  name: v1.36.3
spec:
  artifacts:
  - architecture: amd64
    image: 10.88.0.1:5443/bundles/kubernetes@sha256:abababababababababababababababababababababababababababababababab
  kubernetesVersion: v1.36.3
`
	got, err := b.nodeBundle(digest)
	must(t, err)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the object (-want +got):\n%s", diff)
	}
}
