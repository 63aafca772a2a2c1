package component

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/host"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

//go:embed testdata/mirror-ca.crt
var mirrorCA string

var update = flag.Bool("update", false, "write the golden files anew")

const gib = int64(1) << 30

// localMachine is a part of a cgroup v1 host without CAP_SYS_RESOURCE.
func localMachine() Config {
	return Config{
		NodeName:   "workers-1a2b3-0",
		ProviderID: "drover-local://default/workers-1a2b3-0",
		Spec: fleetv1.NodeAgentSpec{
			Revision:  "r1",
			Version:   "v1.36.3",
			Artifacts: []fleetv1.Artifact{{Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:0123"}},
			Cluster: fleetv1.ClusterSettings{
				Server: "https://10.88.0.1:6443", ServerCA: "SERVER CA\n", ClientCA: "CLIENT CA\n",
				DNSServers: []string{"10.96.0.10"}, DNSDomain: "cluster.local",
				ServiceCIDRs: []string{"10.96.0.0/16"}, PodCIDRs: []string{"10.244.0.0/16"},
			},
			NodeSettings: fleetv1.NodeSettings{Proxy: fleetv1.ProxySettings{Mode: fleetv1.ProxyModeNFTables}},
		},
		Facts: host.Facts{
			CgroupVersion: 1, CgroupDriver: host.CgroupDriverCgroupfs, CgroupRoot: "/drover/workers-1a2b3-0", SharesHost: true,
			CPUs: 2, HostCPUs: 2, MemoryBytes: 8 * gib, HostMemoryBytes: 8 * gib, NodeIP: netip.MustParseAddr("10.88.0.10"),
		},
		Bundle: &bundle.Bundle{
			Digest: "sha256:0123", Dir: "/var/lib/drover/bundles/0123",
			Versions: map[string]string{"kubelet": "v1.36.3", "kube-proxy": "v1.36.3", "containerd": "v2.4.2", "pause": "3.10.2"},
		},
	}
}

// ownMachine is a machine of its own with systemd, cgroup v2 and every capability.
func ownMachine() Config {
	cfg := localMachine()
	cfg.ProviderID = ""
	cfg.Facts = host.Facts{
		CgroupVersion: 2, CgroupDriver: host.CgroupDriverSystemd, CgroupRoot: "/", HasSystemd: true,
		CanRaiseOOMScore: true, ConntrackWritable: ptr.To(true), CPUs: 16, HostCPUs: 16,
		MemoryBytes: 64 * gib, HostMemoryBytes: 64 * gib, StateDiskBytes: 40 * gib, NodeIP: netip.MustParseAddr("fd00::10"),
	}
	return cfg
}

func TestGolden(t *testing.T) {
	cases := []struct {
		name   string
		reason string
		base   func() Config
		change func(*Config)
	}{
		{"cgroup-v1-local", "a local machine on a cgroup v1 host that cannot lower OOM scores or set conntrack limits", localMachine, func(*Config) {}},
		{"cgroup-v2-systemd", "a machine of its own with systemd uses its cgroup driver and delays shutdowns", ownMachine, func(*Config) {}},
		{"cgroup-v2-local", "a local machine on a cgroup v2 host, with a cgroup namespace of its own, shares its host's disk all the same", localMachine, func(c *Config) {
			c.Facts.CgroupVersion, c.Facts.CgroupRoot, c.Facts.CanRaiseOOMScore = 2, "/", true
		}},
		{"large", "a large machine keeps 10Gi of its disk free, not a tenth", ownMachine, func(c *Config) {
			c.Facts.CPUs, c.Facts.HostCPUs, c.Facts.MemoryBytes, c.Facts.HostMemoryBytes, c.Facts.StateDiskBytes = 64, 64, 512*gib, 512*gib, 2000*gib
		}},
		{"tiny", "a tiny machine of its own reserves a quarter of its memory at most, and evicts at a tenth of it", ownMachine, func(c *Config) {
			c.Facts.CPUs, c.Facts.HostCPUs, c.Facts.MemoryBytes, c.Facts.HostMemoryBytes, c.Facts.StateDiskBytes = 1, 1, gib/2, gib/2, 4*gib
		}},
		{"mirrors", "mirrors, one of them for the registry of the bundles, one by the artifact endpoint", localMachine, func(c *Config) {
			c.Spec.Runtime.RegistryMirrors = []fleetv1.RegistryMirror{
				{Registry: "docker.io", Endpoints: []string{"https://mirror.example/v2/hub", "http://cache:5000"}, CABundle: mirrorCA},
				{Registry: "_default", Endpoints: []string{"https://10.88.0.1:5443"}},
				{Registry: "10.88.0.1:5443", Endpoints: []string{"https://near.example"}},
			}
		}},
		{"iptables", "kube-proxy with iptables", ownMachine, func(c *Config) { c.Spec.Proxy.Mode = fleetv1.ProxyModeIPTables }},
		{"proxy-none-network-external", "the user's network replaces kube-proxy", ownMachine, func(c *Config) {
			c.Spec.Proxy.Mode = fleetv1.ProxyModeNone
			c.Spec.Network.Mode = fleetv1.NetworkModeExternal
		}},
		{"small-part-of-a-host", "a machine of 1 of 8 processors and 1 of 32 GiB allots no more than that, and a /28 of pods", localMachine, func(c *Config) {
			c.Facts.CPUs, c.Facts.HostCPUs, c.Facts.MemoryBytes, c.Facts.HostMemoryBytes = 1, 8, gib, 32*gib
			c.PodCIDRs = []string{"10.244.3.0/28"}
		}},
		{"settings", "what the user sets is never replaced", ownMachine, func(c *Config) {
			c.Facts.Swap = true
			c.Taints = []fleetv1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}}
			c.Spec.Kubelet = fleetv1.KubeletSettings{
				MaxPods:                    ptr.To[int32](250),
				SystemReserved:             map[corev1.ResourceName]resource.Quantity{"memory": resource.MustParse("1Gi"), "pid": resource.MustParse("1000")},
				KubeReserved:               map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("500m")},
				EvictionHard:               map[string]fleetv1.EvictionThreshold{"memory.available": "5%", "pid.available": "10%"},
				FailSwapOn:                 ptr.To(true),
				SwapBehavior:               fleetv1.LimitedSwap,
				ContainerLogMaxSize:        ptr.To(resource.MustParse("50Mi")),
				ContainerLogMaxFiles:       ptr.To[int32](3),
				ShutdownGracePeriodSeconds: ptr.To[int32](0),
				AllowedUnsafeSysctls:       []string{"net.core.somaxconn"},
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := c.base()
			c.change(&cfg)
			plan, err := Build(cfg)
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			got := render(plan)
			file := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got; run with -update if it should be so):\n%s", c.reason, diff)
			}
		})
	}
}

// render writes a plan for people to read.
func render(plan *Plan) string {
	var b strings.Builder
	for _, p := range plan.Processes {
		fmt.Fprintf(&b, "### process %s %s\n%s\n", p.Name, p.Version, p.Path)
		for _, arg := range p.Args {
			fmt.Fprintf(&b, "  %s\n", arg)
		}
		fmt.Fprintf(&b, "log %s, after %v, OOM score %s, environment %v\n\n", p.LogFile, p.DependsOn, orNone(p.OOMScoreAdj), p.Env)
	}
	for _, f := range plan.Files {
		fmt.Fprintf(&b, "### file %s %o\n%s\n", f.Path, f.Mode, f.Content)
	}
	return b.String()
}

func orNone(n *int) string {
	if n == nil {
		return "left alone"
	}
	return fmt.Sprint(*n)
}

func TestBuildIsRepeatable(t *testing.T) {
	one, err := Build(ownMachine())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		other, err := Build(ownMachine())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(render(one), render(other)); diff != "" {
			t.Fatalf("the same input gave another plan:\n%s", diff)
		}
	}
}

func TestWhatRestartsAComponent(t *testing.T) {
	cases := []struct {
		reason string
		change func(*Config)
		want   []string
	}{
		{"nothing changed", func(*Config) {}, nil},
		{"containerd reads mirrors for each pull", func(c *Config) {
			c.Spec.Runtime.RegistryMirrors = []fleetv1.RegistryMirror{{Registry: "docker.io", Endpoints: []string{"https://m"}}}
		}, nil},
		{"the kubelet reads its CA bundle again", func(c *Config) { c.Spec.Cluster.ClientCA = "OTHER\n" }, nil},
		{"a kubelet setting is the kubelet's alone", func(c *Config) { c.Spec.Kubelet.MaxPods = ptr.To[int32](7) }, []string{"kubelet"}},
		{"a proxy setting is kube-proxy's alone", func(c *Config) { c.Spec.Proxy.Mode = fleetv1.ProxyModeIPTables }, []string{"kube-proxy"}},
		{"the pause image is containerd's", func(c *Config) { c.Bundle.Versions["pause"] = "4" }, []string{"containerd"}},
		{"another bundle is another program of each", func(c *Config) { c.Bundle.Dir = "/other" }, []string{"containerd", "kubelet", "kube-proxy"}},
	}
	digests := func(cfg Config) map[string]string {
		plan, err := Build(cfg)
		if err != nil {
			t.Fatal(err)
		}
		result := map[string]string{}
		for _, p := range plan.Processes {
			result[p.Name] = strings.Join(append(p.Args, p.Path, p.ConfigDigest), " ")
		}
		return result
	}
	for _, c := range cases {
		before, changed := digests(localMachine()), localMachine()
		c.change(&changed)
		var restarts []string
		after := digests(changed)
		for _, name := range []string{"containerd", "kubelet", "kube-proxy"} {
			if before[name] != after[name] {
				restarts = append(restarts, name)
			}
		}
		if diff := cmp.Diff(c.want, restarts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
	}
}

func TestBuildSaysWhatIsMissing(t *testing.T) {
	cases := []struct {
		reason string
		change func(*Config)
		want   string
	}{
		{"no bundle", func(c *Config) { c.Bundle = nil }, "no bundle"},
		{"a bundle without pause", func(c *Config) { delete(c.Bundle.Versions, "pause") }, "pause"},
		{"a machine without an address", func(c *Config) { c.Facts.NodeIP = netip.Addr{} }, "no address"},
	}
	for _, c := range cases {
		cfg := localMachine()
		c.change(&cfg)
		if _, err := Build(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to mention %q", c.reason, err, c.want)
		}
	}
}

func TestWriteFilesWritesWhatDiffers(t *testing.T) {
	cfg := localMachine()
	cfg.Paths = DefaultPaths()
	cfg.Paths.ConfigDir, cfg.Paths.StaticPodDir = t.TempDir(), t.TempDir()
	plan, err := Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.WriteFiles(); err != nil {
		t.Fatal(err)
	}
	for _, file := range plan.Files {
		got, err := os.ReadFile(file.Path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(file.Content) {
			t.Errorf("%s holds %q, want %q", file.Path, got, file.Content)
		}
	}
}

// What is in the directory of static pods is somebody's own: it is no part of the plan, and so no drift.
func TestWriteFilesLeavesStaticPodsToWhoeverPutsThem(t *testing.T) {
	cfg := localMachine()
	cfg.Paths = DefaultPaths()
	cfg.Paths.ConfigDir, cfg.Paths.StaticPodDir = t.TempDir(), filepath.Join(t.TempDir(), "drover", "static-pods")
	manifest := filepath.Join(cfg.Paths.StaticPodDir, "web.yaml")
	plan := build(t, cfg)
	if err := plan.WriteFiles(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(manifest, []byte("kind: Pod\n"), 0o600), os.Chmod(cfg.Paths.StaticPodDir, 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := plan.WriteFiles(); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(manifest); err != nil || string(content) != "kind: Pod\n" {
		t.Errorf("the manifest holds %q, %v", content, err)
	}
	if info, err := os.Stat(cfg.Paths.StaticPodDir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its directory is %v, %v: want one that only root writes into", info.Mode(), err)
	}
	written, removed, err := plan.Differing()
	if err != nil || len(written)+len(removed) > 0 || slices.Contains(plan.Dirs(), cfg.Paths.StaticPodDir) {
		t.Errorf("it would write %v and remove %v, %v, and looks at %v", written, removed, err, plan.Dirs())
	}
}

func TestWriteFilesRemovesOldRegistries(t *testing.T) {
	cfg := localMachine()
	cfg.Paths = DefaultPaths()
	cfg.Paths.ConfigDir, cfg.Paths.StaticPodDir = t.TempDir(), t.TempDir()
	cfg.Spec.Runtime.RegistryMirrors = []fleetv1.RegistryMirror{{Registry: "docker.io", Endpoints: []string{"https://m"}, CABundle: mirrorCA}}
	write := func() {
		t.Helper()
		plan, err := Build(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.WriteFiles(); err != nil {
			t.Fatal(err)
		}
	}
	write()
	cfg.Spec.Runtime.RegistryMirrors = nil
	write()
	left, err := filepath.Glob(filepath.Join(cfg.registryDir(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(cfg.registryDir(), "10.88.0.1:5443")}, left); diff != "" {
		t.Errorf("registries left (-want +got):\n%s", diff)
	}
}

func TestAMirrorsCAMustBeOne(t *testing.T) {
	cfg := localMachine()
	cfg.Spec.Runtime.RegistryMirrors = []fleetv1.RegistryMirror{{Registry: "docker.io", Endpoints: []string{"https://m"}, CABundle: "none"}}
	_, err := Build(cfg)
	if err == nil || !strings.Contains(err.Error(), "registry mirror of docker.io: caBundle") {
		t.Errorf("got %v: containerd would refuse all of the registry's images", err)
	}
}
