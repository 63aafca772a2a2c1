package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/api/disruption"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// step is a change of some fields, and what restarts for it.
type step struct {
	fields   []string
	change   func(*fleetv1.NodeAgentSpec)
	restarts []string
}

// testAPlanForetellsWhatRestarts changes every field of a node's desired state under a running pod, and compares the processes that
// drover-agent plan names with those that are other ones afterwards.
func testAPlanForetellsWhatRestarts(t *testing.T) {
	runtime, next := runtimeBundle(t), nextBundle(t)
	pool := world.newPool(t, "e2e-plan", 1)
	world.awaitPool(t, pool.Name, 1)
	node := world.onlyMachine(t, pool).Name
	pod := world.startPod(t, busybox("e2e-plan", idle, onNode(node)), corev1.PodRunning)
	container := pod.Status.ContainerStatuses[0].ContainerID

	tested := map[string]bool{disruption.ComponentAgent: true, "repair": true} // which have tests of their own
	// The manager would put right what is changed of a NodeAgent by hand.
	world.edit(t, pool.Name, func(pool *fleetv1.NodePool) { pool.Spec.Paused = ptr.To(true) })
	t.Cleanup(func() { world.edit(t, pool.Name, func(pool *fleetv1.NodePool) { pool.Spec.Paused = nil }) })
	before := pids(t, node)
	for i, s := range steps(runtime, next, nextVersion(t)) {
		// A new agent may write its status as one that is new: a node has sixty such writes an hour.
		if i%5 == 4 {
			world.renewAgent(t, node)
		}
		revision := fmt.Sprintf("e2e-%d", i)
		change := func(spec *fleetv1.NodeAgentSpec) { s.change(spec); spec.Revision = revision }
		said, changed := foretold(t, node, change)
		for _, field := range s.fields {
			tested[field] = true
			if !slices.Contains(changed, field) {
				t.Errorf("the plan names the fields %v, and not %s", changed, field)
			}
		}
		if diff := cmp.Diff(s.restarts, said); diff != "" {
			t.Errorf("a change of %v: what the plan says restarts (-want +got):\n%s", s.fields, diff)
		}
		wantOf(t, node, revision, change)
		after := awaitRestarts(t, node, revision, before, said)
		for name, pid := range after {
			if pid != before[name] && !slices.Contains(said, name) {
				t.Errorf("%s was restarted for a change of %v", name, s.fields)
			}
		}
		before = after
	}
	for _, row := range disruption.Table() {
		if !tested[row.Field] && !strings.HasPrefix(row.Field, "template.") {
			t.Errorf("no step changes %s", row.Field)
		}
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	if got := pod.Status.ContainerStatuses[0]; got.ContainerID != container || got.RestartCount != 0 {
		t.Errorf("the pod's container did not survive: %+v", got)
	}
}

// wantOf has a node run a revision that differs from what it is to run now.
func wantOf(t *testing.T, node, revision string, change func(*fleetv1.NodeAgentSpec)) {
	t.Helper()
	agent := world.agent(t, node)
	changed := agent.DeepCopy()
	changed.Spec.Revision = revision
	change(&changed.Spec)
	if err := world.Patch(t.Context(), changed, client.MergeFrom(agent)); err != nil {
		t.Fatal(err)
	}
}

// steps change each field once.
func steps(runtime, next, version string) []step {
	kubelet := []string{fleetv1.ComponentKubelet}
	quantities := func(cpu string) map[corev1.ResourceName]resource.Quantity {
		return map[corev1.ResourceName]resource.Quantity{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	of := func(field string, restarts []string, change func(*fleetv1.NodeAgentSpec)) step {
		return step{[]string{field}, change, restarts}
	}
	return []step{
		{fields: []string{
			"revision", "cluster.clientCA", "cluster.serviceCIDRs", "runtime.registryMirrors", "network.mtu", "sysctls", "drift",
			// These two make no difference to a machine without systemd and with one address, and the last two say what is the default.
			"kubelet.shutdownGracePeriodSeconds", "network.nodeCIDRs", "kubelet.swapBehavior", "kubelet.failSwapOn",
		}, change: func(s *fleetv1.NodeAgentSpec) {
			s.Cluster.ClientCA += "\n"
			s.Cluster.ServiceCIDRs = append(s.Cluster.ServiceCIDRs, "10.97.0.0/24")
			s.Runtime.RegistryMirrors = []fleetv1.RegistryMirror{{Registry: "registry.example", Endpoints: []string{"https://mirror.example"}}}
			s.Network.MTU, s.Network.NodeCIDRs = ptr.To[int32](1400), []string{"10.88.0.0/16"}
			s.Sysctls = map[string]fleetv1.SysctlValue{"net.core.somaxconn": "512"}
			s.Drift.Binaries = fleetv1.DriftReport
			s.Kubelet.ShutdownGracePeriodSeconds, s.Kubelet.SwapBehavior, s.Kubelet.FailSwapOn = ptr.To[int32](60), fleetv1.NoSwap, ptr.To(false)
		}},
		of("cluster.server", []string{fleetv1.ComponentKubeProxy, fleetv1.ComponentKubelet}, func(s *fleetv1.NodeAgentSpec) { s.Cluster.Server += "/" }),
		of("cluster.serverCA", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Cluster.ServerCA += "\n" }),
		of("cluster.dnsServers", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Cluster.DNSServers = []string{"10.96.0.11"} }),
		of("cluster.dnsDomain", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Cluster.DNSDomain = "other.local" }),
		of("kubelet.maxPods", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Kubelet.MaxPods = ptr.To[int32](20) }),
		of("kubelet.systemReserved", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Kubelet.SystemReserved = quantities("60m") }),
		of("kubelet.kubeReserved", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Kubelet.KubeReserved = quantities("70m") }),
		of("kubelet.evictionHard", kubelet, func(s *fleetv1.NodeAgentSpec) {
			s.Kubelet.EvictionHard = map[string]fleetv1.EvictionThreshold{"memory.available": "1Mi"}
		}),
		of("kubelet.containerLogMaxSize", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Kubelet.ContainerLogMaxSize = ptr.To(resource.MustParse("1Mi")) }),
		of("kubelet.containerLogMaxFiles", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Kubelet.ContainerLogMaxFiles = ptr.To[int32](3) }),
		of("kubelet.allowedUnsafeSysctls", kubelet, func(s *fleetv1.NodeAgentSpec) { s.Kubelet.AllowedUnsafeSysctls = []string{"net.core.somaxconn"} }),
		of("cluster.podCIDRs", []string{fleetv1.ComponentKubeProxy}, func(s *fleetv1.NodeAgentSpec) { s.Cluster.PodCIDRs = []string{"10.244.0.0/15"} }),
		of("proxy.mode", []string{fleetv1.ComponentKubeProxy}, func(s *fleetv1.NodeAgentSpec) { s.Proxy.Mode = fleetv1.ProxyModeIPTables }),
		// A bundle with another containerd leaves the kubelet alone, and one with another kubelet leaves containerd alone.
		of("artifacts", []string{fleetv1.ComponentContainerd}, func(s *fleetv1.NodeAgentSpec) { s.Artifacts = artifactsWith(s, runtime) }),
		of("version", []string{fleetv1.ComponentKubeProxy, fleetv1.ComponentKubelet}, func(s *fleetv1.NodeAgentSpec) {
			s.Version, s.Artifacts = version, artifactsWith(s, next)
		}),
		of("network.mode", nil, func(s *fleetv1.NodeAgentSpec) { s.Network.Mode = fleetv1.NetworkModeExternal }),
	}
}

// foretold is what drover-agent plan says, on the node's own machine: the components that restart, and the fields that change.
func foretold(t *testing.T, node string, change func(*fleetv1.NodeAgentSpec)) (restarts, fields []string) {
	t.Helper()
	spec := world.agent(t, node).Spec.DeepCopy()
	change(spec)
	data := must[[]byte](t)(yaml.Marshal(spec))
	agent := must[int](t)(world.agentPID(t, node))
	program := must[string](t)(os.Readlink(fmt.Sprintf("/proc/%d/exe", agent)))
	ctx, cancel := context.WithTimeout(t.Context(), podsDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--all", fmt.Sprintf("--target=%d", agent), "--", program, "plan", "--desired", "-")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("drover-agent plan: %v: %s", err, out)
	}
	t.Logf("%s", out)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if processes, found := strings.CutPrefix(line, "Processes: "); found && processes != "all go on" {
			for one := range strings.SplitSeq(processes, ", ") {
				name, what, _ := strings.Cut(one, " ")
				if what != "restarts" {
					t.Errorf("the plan says that %s %s", name, what)
				}
				restarts = append(restarts, name)
			}
		}
		if strings.HasPrefix(line, "Note: ") {
			t.Errorf("the plan is not sure: %s", line)
		}
		if words := strings.Fields(line); len(words) > 3 {
			fields = append(fields, words[0])
		}
	}
	return restarts, fields
}

// awaitRestarts waits until a node runs a revision, with new processes for these components, and returns them all.
func awaitRestarts(t *testing.T, node, revision string, before map[string]int32, restarts []string) map[string]int32 {
	t.Helper()
	after := map[string]int32{}
	eventually(t, nodesDeadline, fmt.Sprintf("%s runs %s with new processes for %v", node, revision, restarts), func(context.Context) error {
		status := world.agent(t, node).Status
		if status.CurrentRevision != revision {
			return fmt.Errorf("it runs %s: %s", status.CurrentRevision, describe(status.Conditions))
		}
		maps.Copy(after, pids(t, node))
		for _, c := range status.Components {
			if c.PID != nil && c.State != fleetv1.ComponentRunning || slices.Contains(restarts, c.Name) && (c.PID == nil || *c.PID == before[c.Name]) {
				return fmt.Errorf("%s is %s as process %d, which was %d", c.Name, c.State, ptr.Deref(c.PID, 0), before[c.Name])
			}
			after[c.Name] = ptr.Deref(c.PID, 0)
		}
		return nil
	})
	return after
}

func artifactsWith(s *fleetv1.NodeAgentSpec, image string) []fleetv1.Artifact {
	artifacts := slices.Clone(s.Artifacts)
	artifacts[0].Image = image
	return artifacts
}

// runtimeBundle is a bundle that differs from the demo's in a file beside containerd's, unpacked where machines find it.
func runtimeBundle(t *testing.T) string {
	t.Helper()
	return world.variant(t, "e2e-runtime", func(layers []v1.Layer, files map[string]bundle.File, _ map[string]string) []v1.Layer {
		return append(layers, besideContainerd(t, files))
	})
}

// besideContainerd is a layer with one more program of containerd's.
func besideContainerd(t *testing.T, files map[string]bundle.File) v1.Layer {
	t.Helper()
	const path, content = "bin/containerd-e2e", "another program of containerd's"
	files[path] = fileOf(path, []byte(content))
	return layerOf(t, &tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}, []byte(content))
}

// nextBundle differs from runtimeBundle in the kubelet and kube-proxy, which are a byte longer, as no program minds, and say that they
// are of another patch version.
func nextBundle(t *testing.T) string {
	t.Helper()
	return world.variant(t, "e2e-next", func(layers []v1.Layer, files map[string]bundle.File, annotations map[string]string) []v1.Layer {
		digest := world.demoBundle(t).Hex
		program := append(must[[]byte](t)(os.ReadFile(filepath.Join(world.Root, ".drover", "bundles", digest, "bin", "kubelet"))), 0)
		versions := must[[]byte](t)(os.ReadFile(filepath.Join(world.Root, ".drover", "bundles", digest, "versions.json")))
		for _, name := range []string{"bin/kube-node", "bin/kubelet", "bin/kube-proxy"} {
			files[name] = fileOf(name, program)
		}
		annotations[bundle.VersionAnnotation+fleetv1.ComponentKubelet] = nextVersion(t)
		return append(layers[:len(layers)-1], besideContainerd(t, files), layerOf(t,
			&tar.Header{Name: "versions.json", Mode: 0o644, Size: int64(len(versions))}, versions,
			&tar.Header{Name: "bin/kube-node", Mode: 0o755, Size: int64(len(program))}, program,
			&tar.Header{Name: "bin/kubelet", Mode: 0o755, Typeflag: tar.TypeLink, Linkname: "bin/kube-node"}, nil,
			&tar.Header{Name: "bin/kube-proxy", Mode: 0o755, Typeflag: tar.TypeLink, Linkname: "bin/kube-node"}, nil))
	})
}

// nextVersion is a patch version that nobody has.
func nextVersion(t *testing.T) string {
	t.Helper()
	version := world.demoVersion(t)
	return version[:strings.LastIndex(version, ".")] + ".99"
}

func (w *World) demoVersion(t *testing.T) string {
	t.Helper()
	demo := &fleetv1.NodePool{}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "workers"}, demo); err != nil {
		t.Fatal(err)
	}
	return demo.Spec.Template.Spec.Version
}

// demoBundle is the digest of the bundle that the demo's nodes run.
func (w *World) demoBundle(t *testing.T) v1.Hash {
	t.Helper()
	var bundles fleetv1.NodeBundleList
	if err := w.List(t.Context(), &bundles); err != nil {
		t.Fatal(err)
	}
	version := w.demoVersion(t)
	for _, b := range bundles.Items {
		if b.Spec.KubernetesVersion == version {
			_, digest, _ := strings.Cut(b.Spec.Artifacts[0].Image, "@")
			return must[v1.Hash](t)(v1.NewHash(digest))
		}
	}
	t.Fatalf("no NodeBundle has %s", version)
	return v1.Hash{}
}

// variant serves a bundle that differs from the demo's, has it unpacked into the folder that machines share, and returns its name.
func (w *World) variant(t *testing.T, name string, change func([]v1.Layer, map[string]bundle.File, map[string]string) []v1.Layer) string {
	t.Helper()
	artifacts := filepath.Join(w.Root, ".drover", "artifacts", "bundles")
	index := must[v1.ImageIndex](t)(layout.ImageIndexFromPath(filepath.Join(artifacts, "kubernetes")))
	demo := must[v1.Image](t)(index.Image(w.demoBundle(t)))
	var list []bundle.File
	if err := json.Unmarshal([]byte(must[*v1.ConfigFile](t)(demo.ConfigFile()).Config.Labels[bundle.FilesLabel]), &list); err != nil {
		t.Fatal(err)
	}
	files := map[string]bundle.File{}
	for _, file := range list {
		files[file.Path] = file
	}
	annotations := maps.Clone(must[*v1.Manifest](t)(demo.Manifest()).Annotations)
	layers := change(must[[]v1.Layer](t)(demo.Layers()), files, annotations)

	image := must[v1.Image](t)(mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layers...))
	config := must[*v1.ConfigFile](t)(image.ConfigFile()).DeepCopy()
	label := must[[]byte](t)(json.Marshal(slices.Collect(maps.Values(files))))
	config.Config.Labels = map[string]string{bundle.FilesLabel: string(label)}
	image, _ = mutate.Annotations(must[v1.Image](t)(mutate.ConfigFile(image, config)), annotations).(v1.Image)

	dir := filepath.Join(artifacts, name)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := must[layout.Path](t)(layout.Write(dir, empty.Index)).AppendImage(image); err != nil {
		t.Fatal(err)
	}
	reference := "10.88.0.1:5443/bundles/" + name + "@" + must[v1.Hash](t)(image.Digest()).String()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.Config.CAData)
	store := &bundle.Store{Root: filepath.Join(w.Root, ".drover", "bundles"), Roots: func() *x509.CertPool { return roots }, Log: logr.Discard()}
	unpacked := must[*bundle.Bundle](t)(store.Ensure(t.Context(), reference))
	t.Cleanup(func() { _ = os.RemoveAll(unpacked.Dir) })
	return reference
}

func fileOf(path string, content []byte) bundle.File {
	sum := sha256.Sum256(content)
	return bundle.File{Path: path, Mode: 0o755, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

// layerOf is a layer of headers, each with its content.
func layerOf(t *testing.T, entries ...any) v1.Layer {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, entry := range entries {
		switch e := entry.(type) {
		case *tar.Header:
			if e.Typeflag == 0 {
				e.Typeflag = tar.TypeReg
			}
			if err := w.WriteHeader(e); err != nil {
				t.Fatal(err)
			}
		case []byte:
			if _, err := w.Write(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(archive.Bytes(), types.OCIUncompressedLayer)
}

// A kubelet whose state file a power cut left empty does not start with it, however often it is tried.
func testAnEmptyStateFileKeepsNoKubeletDown(t *testing.T) {
	node := world.aNode(t)
	before := must[*fleetv1.ComponentStatus](t)(world.component(t.Context(), node, fleetv1.ComponentKubelet))
	path := fmt.Sprintf("/proc/%d/root/var/lib/kubelet/cpu_manager_state", world.initOf(t, node))
	if content := must[[]byte](t)(os.ReadFile(path)); !json.Valid(content) {
		t.Fatalf("the kubelet has written %q", content)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	kill(t, world.hostPID(t, node, *before.PID))
	eventually(t, podsDeadline, "the kubelet runs again", func(ctx context.Context) error {
		now, err := world.component(ctx, node, fleetv1.ComponentKubelet)
		if err != nil {
			return err
		}
		return unless(now.State == fleetv1.ComponentRunning && ptr.Deref(now.PID, 0) != *before.PID, "it is %+v", now)
	})
	if content := must[[]byte](t)(os.ReadFile(path)); !json.Valid(content) {
		t.Errorf("the kubelet has %q again", content)
	}
}
