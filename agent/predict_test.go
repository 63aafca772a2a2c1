package agent

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// lay puts what a bundle's digest says of its files where a fetch would, and returns the bundle's image.
func lay(t *testing.T, a *Agent, kubelet string, programs map[string]string) []v1alpha1.Artifact {
	t.Helper()
	var files []bundle.File
	for _, path := range slices.Sorted(maps.Keys(programs)) {
		files = append(files, bundle.File{Path: path, Mode: 0o755, SHA256: programs[path]})
	}
	list, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	configured, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{bundle.FilesLabel: string(list)}})
	if err != nil {
		t.Fatal(err)
	}
	image, _ := mutate.Annotations(configured, map[string]string{
		bundle.VersionAnnotation + "pause": "3.10", bundle.VersionAnnotation + "kubelet": kubelet,
	}).(v1.Image)
	digest, digestErr := image.Digest()
	manifest, manifestErr := image.RawManifest()
	config, configErr := image.RawConfigFile()
	dir := filepath.Join(a.opts.StateDir, "bundles", digest.Hex, ".oci")
	if err := errors.Join(digestErr, manifestErr, configErr, os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o600), os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600)); err != nil {
		t.Fatal(err)
	}
	return []v1alpha1.Artifact{{Architecture: runtime.GOARCH, Image: "registry.example/bundle@" + digest.String()}}
}

// configuredMachine is a machine that runs a generation, of v1.37.1.
func configuredMachine(t *testing.T) (*Agent, *v1alpha1.NodeAgentSpec) {
	t.Helper()
	a, g := machine(t)
	a.system.Addresses = func() ([]host.Route, error) {
		route, err := a.system.RouteTo(a.opts.NodeIP)
		return []host.Route{route}, err
	}
	a.opts.BootstrapPath = bootstrap(t, t.TempDir())
	g.Spec.Version, g.Spec.Artifacts = "v1.37.1", lay(t, a, "v1.37.1", programs("k1"))
	g.Spec.Cluster = v1alpha1.ClusterSettings{
		Server: "https://api.example:6443", ServerCA: "CA", ClientCA: "CA", DNSServers: []string{"10.96.0.10"}, DNSDomain: "cluster.local",
		ServiceCIDRs: []string{"10.96.0.0/16"}, PodCIDRs: []string{"10.244.0.0/16"},
	}
	g.Spec.Proxy.Mode, g.Spec.Network.Mode = v1alpha1.ProxyModeNFTables, v1alpha1.NetworkModeRoutes
	store, state, err := generation.Open(a.opts.StateDir, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	state.Good = g.At("10.88.0.10", 1450)
	if err := store.Write(state); err != nil {
		t.Fatal(err)
	}
	return a, &g.Spec
}

func programs(kubelet string) map[string]string {
	return map[string]string{"bin/containerd": "c1", "bin/containerd-shim-runc-v2": "s1", "bin/runc": "r1", "bin/kubelet": kubelet, "bin/kube-proxy": kubelet, "cni/bridge": "b1"}
}

// foretell asks what becomes of a machine with another spec.
func foretell(t *testing.T, a *Agent, spec *v1alpha1.NodeAgentSpec) *Prediction {
	t.Helper()
	data, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	p, err := predict(t.Context(), forecast{opts: a.opts, system: a.system, paths: a.paths}, data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each field of the table is changed once. What restarts for it is what its row says, or less.
func TestAPlanAgreesWithTheTableForEachField(t *testing.T) {
	kubelet, proxy := map[string]string{"kubelet": Restarts}, map[string]string{"kube-proxy": Restarts}
	none := map[string]string{}
	for field, test := range map[string]struct {
		change func(*Agent, *v1alpha1.NodeAgentSpec)
		want   map[string]string
	}{
		"revision": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Revision = "r2" }, none},
		"version": {func(a *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Version, s.Artifacts = "v1.37.2", lay(t, a, "v1.37.2", programs("k2"))
		}, map[string]string{"kubelet": Restarts, "kube-proxy": Restarts}},
		"artifacts": {func(a *Agent, s *v1alpha1.NodeAgentSpec) {
			other := programs("k1")
			other["bin/runc"] = "r2"
			s.Artifacts = lay(t, a, "v1.37.1", other)
		}, map[string]string{"containerd": Restarts}},
		"cluster.server":       {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.Server = "https://other.example:6443" }, map[string]string{"kubelet": Restarts, "kube-proxy": Restarts}},
		"cluster.serverCA":     {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.ServerCA = "NEW" }, kubelet},
		"cluster.clientCA":     {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.ClientCA = "NEW" }, none},
		"cluster.dnsServers":   {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.DNSServers = []string{"10.96.0.11"} }, kubelet},
		"cluster.dnsDomain":    {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.DNSDomain = "other.local" }, kubelet},
		"cluster.serviceCIDRs": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.ServiceCIDRs = []string{"10.97.0.0/16"} }, none},
		"cluster.podCIDRs":     {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Cluster.PodCIDRs = []string{"10.245.0.0/16"} }, proxy},
		"kubelet.maxPods":      {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Kubelet.MaxPods = ptr.To[int32](20) }, kubelet},
		"kubelet.systemReserved": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("70m")}
		}, kubelet},
		"kubelet.kubeReserved": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Kubelet.KubeReserved = map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("70m")}
		}, kubelet},
		"kubelet.evictionHard": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Kubelet.EvictionHard = map[string]v1alpha1.EvictionThreshold{"memory.available": "1%"}
		}, kubelet},
		"kubelet.failSwapOn":   {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Kubelet.FailSwapOn = ptr.To(true) }, kubelet},
		"kubelet.swapBehavior": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Kubelet.SwapBehavior = v1alpha1.LimitedSwap }, kubelet},
		"kubelet.containerLogMaxSize": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Kubelet.ContainerLogMaxSize = ptr.To(resource.MustParse("1Mi"))
		}, kubelet},
		"kubelet.containerLogMaxFiles": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Kubelet.ContainerLogMaxFiles = ptr.To[int32](3) }, kubelet},
		// A machine without systemd has nobody to tell its kubelet of a shutdown.
		"kubelet.shutdownGracePeriodSeconds": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Kubelet.ShutdownGracePeriodSeconds = ptr.To[int32](60) }, none},
		"kubelet.allowedUnsafeSysctls": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Kubelet.AllowedUnsafeSysctls = []string{"net.core.somaxconn"}
		}, kubelet},
		"runtime.registryMirrors": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Runtime.RegistryMirrors = []v1alpha1.RegistryMirror{{Registry: "docker.io", Endpoints: []string{"https://mirror.example"}}}
		}, none},
		"proxy.mode":        {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Proxy.Mode = v1alpha1.ProxyModeNone }, map[string]string{"kube-proxy": Stops}},
		"network.mode":      {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Network.Mode = v1alpha1.NetworkModeExternal }, none},
		"network.nodeCIDRs": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Network.NodeCIDRs = []string{"10.88.0.0/16"} }, none},
		"network.mtu":       {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Network.MTU = ptr.To[int32](1400) }, none},
		"sysctls": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) {
			s.Sysctls = map[string]v1alpha1.SysctlValue{"vm.max_map_count": "262144"}
		}, none},
		"drift": {func(_ *Agent, s *v1alpha1.NodeAgentSpec) { s.Drift.Files = v1alpha1.DriftReport }, none},
	} {
		t.Run(field, func(t *testing.T) {
			a, spec := configuredMachine(t)
			test.change(a, spec)
			p := foretell(t, a, spec)
			if diff := cmp.Diff(test.want, p.Effects); diff != "" {
				t.Errorf("what becomes of the processes (-want +got):\n%s\n%q", diff, p.Notes)
			}
			var says []string
			for _, c := range disruption.Between(mustKept(t, a), spec) {
				says = append(says, c.Components...)
			}
			for name := range p.Effects {
				if !slices.Contains(says, name) {
					t.Errorf("%s restarts, and the table says that %v do", name, says)
				}
			}
			if !slices.ContainsFunc(p.Changes, func(c disruption.Change) bool { return c.Field == field }) {
				t.Errorf("the changes are %+v, without %s", p.Changes, field)
			}
		})
	}
}

func mustKept(t *testing.T, a *Agent) *v1alpha1.NodeAgentSpec {
	t.Helper()
	now, _, err := kept(a.opts)
	if err != nil {
		t.Fatal(err)
	}
	return &now.Spec
}

func TestAPlanSaysWhichFilesChange(t *testing.T) {
	a, spec := configuredMachine(t)
	spec.Kubelet.MaxPods = ptr.To[int32](20)
	p := foretell(t, a, spec)
	if want := filepath.Join(a.paths.ConfigDir, "kubelet.yaml"); !slices.Contains(p.Written, want) {
		t.Errorf("writes %v, want %s among them", p.Written, want)
	}
	if _, err := os.Stat(a.paths.ConfigDir); err == nil {
		t.Error("a plan has written files")
	}
}

func TestABundleThatIsNotHereIsForetoldByTheTable(t *testing.T) {
	a, spec := configuredMachine(t)
	spec.Version, spec.Artifacts[0].Image = "v1.38.0", "registry.example/bundle@sha256:"+strings.Repeat("0", 64)
	p := foretell(t, a, spec)
	if want := map[string]string{"containerd": MayRestart, "kubelet": MayRestart, "kube-proxy": MayRestart}; !maps.Equal(p.Effects, want) {
		t.Errorf("the effects are %v, want %v", p.Effects, want)
	}
	if p.Class() != disruption.Drain || !strings.Contains(strings.Join(p.Notes, ""), "not on this machine yet") {
		t.Errorf("class %s, notes %q", p.Class(), p.Notes)
	}
}

func TestWhatTheAgentWouldRefuseIsSaid(t *testing.T) {
	a, spec := configuredMachine(t)
	spec.Version = "v1.37.2" // with the bundle of v1.37.1
	spec.Network.NodeCIDRs = []string{"192.0.2.0/24"}
	if notes := strings.Join(foretell(t, a, spec).Notes, "\n"); !strings.Contains(notes, "has the kubelet v1.37.1") || !strings.Contains(notes, "192.0.2.0/24") {
		t.Errorf("the notes are %q, want the bundle's version and the missing address", notes)
	}
}

func TestWhatIsNoDesiredStateIsRefusedWithWhatToDo(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"no YAML":              {"{", "neither YAML nor JSON"},
		"a pool":               {"kind: NodePool\nspec: {}", "it is a NodePool, not a NodeAgent: take what `kubectl get nodeagent node-1"},
		"a field in a typo":    {"version: v1.37.1\nkubelet: {maxPod: 3}", `unknown field "maxPod"`},
		"another node's":       {"kind: NodeAgent\nmetadata: {name: node-2}", "it is the NodeAgent of node-2"},
		"a spec with holes":    {"version: v1.37.1\nartifacts: [{architecture: amd64, image: a}]", "has no cluster.server"},
		"nothing at all":       {"", "its spec has no"},
		"a value of no number": {"kubelet: {maxPods: many}", "it is no NodeAgent of this release"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseDesired([]byte(test.data), "node-1"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestAMachineThatRunsNothingHasNothingToCompareWith(t *testing.T) {
	a, _ := machine(t)
	a.opts.BootstrapPath = bootstrap(t, t.TempDir())
	if _, err := predict(t.Context(), forecast{opts: a.opts, system: a.system, paths: a.paths}, nil); err == nil || !strings.Contains(err.Error(), "runs nothing yet") {
		t.Errorf("the error is %v", err)
	}
}

// An agent that knew no paths by content is followed by this one.
func TestAnUpgradedAgentRestartsNothingForThePathsOfPrograms(t *testing.T) {
	a, spec := configuredMachine(t)
	now, _, err := kept(a.opts)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := a.system.Gather(t.Context(), host.GatherOptions{Server: spec.Cluster.Server})
	if err != nil {
		t.Fatal(err)
	}
	b := a.opts.bundles().Foresee(spec.Artifacts[0].Image)
	before, err := a.opts.plan(now, facts, b.InPlace(), a.paths, a.supervise)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range before.Processes {
		path := filepath.Join(a.opts.RunDir, "processes", p.Name+".json")
		data := `{"name":"` + p.Name + `","running":true,"digest":"` + p.Digest() + `"}`
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	started, err := supervise.New(supervise.Options{RunDir: a.opts.RunDir})
	if err != nil {
		t.Fatal(err)
	}
	after, err := a.opts.plan(now, facts, b, a.paths, started)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range after.Processes {
		if p.Digest() != before.Processes[i].Digest() {
			t.Errorf("%s is restarted: it ran %s, and is to run %s", p.Name, before.Processes[i].Path, p.Path)
		}
	}
	if p := foretell(t, a, spec); len(p.Effects) != 0 || len(p.Notes) != 0 {
		t.Errorf("and the plan says %v, %q", p.Effects, p.Notes)
	}
}

// What is kept of a generation says nothing of the agent's own version.
func TestAPlanKnowsTheAgentThatRunsAndWhatWasRolledBack(t *testing.T) {
	a, spec := configuredMachine(t)
	spec.Revision, spec.Kubelet.MaxPods = "r2", ptr.To[int32](20)
	store, state, err := generation.Open(a.opts.StateDir, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	failed := *state.Good
	failed.Spec = *spec.DeepCopy()
	state.Failed = &generation.Failure{ID: failed.ID(), Revision: "r2", Reason: "Exited", Message: "the kubelet ended", Denied: true}
	name := strings.Repeat("a", 64)
	dir := filepath.Join(a.opts.StateDir, "agent")
	if err := errors.Join(store.Write(state), os.MkdirAll(dir, 0o755), os.Symlink(name, filepath.Join(dir, "current"))); err != nil {
		t.Fatal(err)
	}
	for digest, changes := range map[string]bool{name: false, strings.Repeat("b", 64): true} {
		spec.Agent = &v1alpha1.AgentRelease{Version: "v9", Artifacts: []v1alpha1.Artifact{{Architecture: runtime.GOARCH, Image: "registry.example/agent@sha256:" + digest}}}
		p := foretell(t, a, spec)
		if got := slices.ContainsFunc(p.Changes, func(c disruption.Change) bool { return c.Field == disruption.ComponentAgent }); got != changes {
			t.Errorf("the agent sha256:%s is a change: %t, want %t", digest, got, changes)
		}
		if !strings.Contains(strings.Join(p.Notes, "; "), "it was rolled back (Exited: the kubelet ended)") {
			t.Errorf("the notes are %q", p.Notes)
		}
	}
}

func TestAPlanOfADeniedRevisionIsThatOfTheFactsAlone(t *testing.T) {
	a, spec := configuredMachine(t)
	store, state, err := generation.Open(a.opts.StateDir, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	spec.Revision, spec.Kubelet.MaxPods = "r2", ptr.To[int32](20)
	candidate := *state.Good
	candidate.Spec = *spec.DeepCopy()
	state.Candidate = &candidate
	if err := store.Write(state.RolledBack(generation.Failure{Reason: "Exited", Message: "the kubelet ended"})); err != nil {
		t.Fatal(err)
	}
	spec.Cluster.DNSDomain = "other.example"
	p := foretell(t, a, spec)
	var fields []string
	for _, c := range p.Changes {
		fields = append(fields, c.Field)
	}
	if !slices.Equal(fields, []string{"cluster.dnsDomain"}) {
		t.Errorf("the plan has %v, want what the node would take over alone", fields)
	}
}

// The one that the generation names may never have answered, and be what is to be put right.
func TestAPlanGoesByTheAPIServerThatTheNodeSpeaksTo(t *testing.T) {
	a, spec := configuredMachine(t)
	live := server{URL: "https://live.example:6443", CA: "CA"}
	a.keepServer(live)
	for url, restarts := range map[string]bool{live.URL: false, "https://another.example:6443": true} {
		spec.Cluster.Server = url
		if p := foretell(t, a, spec); (p.Effects[v1alpha1.ComponentKubelet] == Restarts) != restarts {
			t.Errorf("with %s the plan says %v", url, p.Effects)
		}
	}
}
