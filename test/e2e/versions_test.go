package e2e

import (
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	corev1 "k8s.io/api/core/v1"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	devlayout "github.com/drover-dev/drover/hack/dev/layout"
)

// otherVersions are of the minor version of the control plane, and of the one before.
var otherVersions = []string{"v1.37.1", "v1.36.5"}

func testNodesOfOtherVersionsRunBesideTheDemos(t *testing.T) {
	own := world.versionsOf(t, world.aNode(t))
	pools := map[string]*fleetv1.NodePool{}
	for _, version := range otherVersions {
		world.bundle(t, version)
		pools[version] = world.newPool(t, "e2e-"+strings.ReplaceAll(version, ".", "-"), 1, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = version })
	}
	for version, pool := range pools {
		world.awaitPool(t, pool.Name, 1)
		node := must[[]corev1.Node](t)(world.nodes(t.Context(), pool.Name))[0]
		if got := node.Status.NodeInfo.KubeletVersion; got != version {
			t.Errorf("the kubelet of %s says that it is %s, want %s", node.Name, got, version)
		}
		want := maps.Clone(own)
		want["kubelet"], want["kube-proxy"] = version, version
		if diff := cmp.Diff(want, world.versionsOf(t, node.Name)); diff != "" {
			t.Errorf("components of %s (-want +got):\n%s", node.Name, diff)
		}
		startStaticPod(t, strconv.Itoa(world.initOf(t, node.Name)), node.Name, busybox(pool.Name+"-static", idle))
		// An answer takes the pod network, kube-proxy's rules and cluster DNS.
		world.startPod(t, busybox(pool.Name, "", onNode(node.Name), callHello), corev1.PodSucceeded)
	}
}

// An upgrade leaves containerd running where its files are the same, to the byte.
func TestBundlesOfAllVersionsShareAllLayersButTheKubelets(t *testing.T) {
	byVersion, byDigest := layersOfBundles(t)
	built := must[devlayout.Digests](t)(devlayout.ReadDigests(devlayout.Layout{Repository: world.Root}))
	own := byDigest[built["bundles/kubernetes"]]
	for _, version := range otherVersions {
		other := byVersion[version]
		if len(own) != 4 || len(other) != 4 {
			t.Fatalf("the demo's bundle has the layers %v, that of %s %v: want 4", own, version, other)
		}
		if diff := cmp.Diff(own[:3], other[:3]); diff != "" {
			t.Errorf("layers before the kubelet's (-the demo's +%s):\n%s", version, diff)
		}
	}
}

// callHello has a pod call the demo's Service, until it answers.
func callHello(pod *corev1.Pod) {
	pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	pod.Spec.Containers[0].Image, pod.Spec.Containers[0].Command = imageBase+"hello:dev", []string{"/hello", "get", "http://hello.default.svc.cluster.local/"}
}

// versionsOf are the versions of a node's components, by its agent.
func (w *World) versionsOf(t *testing.T, node string) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, component := range w.agent(t, node).Status.Components {
		versions[component.Name] = component.Version
	}
	return versions
}

// layersOfBundles are the layers of the bundles on disk.
func layersOfBundles(t *testing.T) (byVersion, byDigest map[string][]v1.Hash) {
	t.Helper()
	index := must[v1.ImageIndex](t)(layout.ImageIndexFromPath(filepath.Join(world.Root, ".drover", "artifacts", "bundles", "kubernetes")))
	byVersion, byDigest = map[string][]v1.Hash{}, map[string][]v1.Hash{}
	for _, image := range must[*v1.IndexManifest](t)(index.IndexManifest()).Manifests {
		var layers []v1.Hash
		for _, layer := range must[*v1.Manifest](t)(must[v1.Image](t)(index.Image(image.Digest)).Manifest()).Layers {
			layers = append(layers, layer.Digest)
		}
		byVersion[image.Annotations["org.opencontainers.image.ref.name"]], byDigest[image.Digest.String()] = layers, layers
	}
	return byVersion, byDigest
}
