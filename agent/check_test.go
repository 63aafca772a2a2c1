package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/agent/membership"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/proxyrules"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// sound are the files of a machine that passes the preflight.
var sound = map[string]string{
	"proc/meminfo":                                 "MemTotal:       8000000 kB\n",
	"proc/cpuinfo":                                 "processor\t: 0\n",
	"proc/self/status":                             "CapEff:\t000001ffffffffff\n",
	"proc/filesystems":                             "nodev\toverlay\n",
	"proc/sys/kernel/osrelease":                    "6.1.0-18-amd64\n",
	"proc/sys/net/ipv4/ip_forward":                 "1\n",
	"proc/sys/net/netfilter/nf_conntrack_max":      "65536\n",
	"proc/sys/net/bridge/bridge-nf-call-iptables":  "1\n",
	"proc/sys/net/bridge/bridge-nf-call-ip6tables": "1\n",
	"proc/self/cgroup":                             "0::/system.slice/drover-agent.service\n",
	"sys/fs/cgroup/cgroup.controllers":             "cpuset cpu io memory pids\n",
	"sys/fs/cgroup/cgroup.subtree_control":         "cpuset cpu io memory pids\n",
	"usr/sbin/nft":                                 "", "usr/bin/mount": "", "usr/bin/umount": "",
}

// machine is an agent on a machine of the test's own, that has a bundle and is to install the state it returns.
func machine(t *testing.T) (*Agent, *generation.Generation) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range sound {
		path := filepath.Join(dir, "machine", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	processes, err := supervise.New(supervise.Options{RunDir: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	g := &generation.Generation{}
	g.NodeName, g.Spec.Revision, g.Spec.Cluster.Server = "node-1", "r1", "https://api.example:6443"
	system := &host.System{
		Root:     filepath.Join(dir, "machine"),
		Hostname: func() (string, error) { return "node-1", nil },
		LookupHost: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.88.0.1")}, nil
		},
		RouteTo: func(netip.Addr) (host.Route, error) {
			return host.Route{Source: netip.MustParseAddr("10.88.0.10"), Link: "eth0", MTU: 1450}, nil
		},
		DiskBytes: func(string) (int64, int64, error) { return 40 << 30, 20 << 30, nil },
		NFTables:  func() error { return nil },
	}
	a := &Agent{
		opts:      Options{StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run")},
		bootstrap: &g.Bootstrap,
		log:       logr.Discard(), boot: joinedBoot(), members: membership.New(membership.Options{Node: "node-1", Log: logr.Discard()}), timeline: status.NewTimeline(time.Now),
		system: system, kernel: &kernel.Kernel{Host: system, RunDir: filepath.Join(dir, "run")},
		network: &network.Manager{StateDir: dir}, proxy: &proxyrules.Keeper{}, supervise: processes, restarted: true,
		paths: component.Paths{
			ConfigDir: filepath.Join(dir, "etc"), LogDir: dir,
			KubeletDir: filepath.Join(dir, "kubelet"), ContainerdRoot: filepath.Join(dir, "containerd"), ContainerdState: filepath.Join(dir, "run", "containerd"),
		},
		introduced: make(chan struct{}), claimed: make(chan struct{}),
		dirty: make(chan struct{}, 1), rebuild: func() {},
	}
	a.installer = &generation.Installer{NewWork: a.newWork, Judge: a.judgeNode, Hindered: a.hinder, Changed: func() {}}
	begunWith(t, a, g)
	a.begun.Store(&work{agent: a})
	a.monitor, a.updater, a.repair = health.New(processes, logr.Discard()), a.newUpdater(), a.newRepairKeeper()
	a.drift = a.newDriftKeeper()
	return a, g
}

// begunWith has an agent begin with what is on disk, or a first generation.
func begunWith(t *testing.T, a *Agent, first *generation.Generation) generation.State {
	t.Helper()
	store, state, err := generation.Open(a.opts.StateDir, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	a.installer.Begin(store, state, first)
	return state
}

// begin is the work for a state, with a bundle as if it had been fetched.
func begin(a *Agent) *work {
	w, _ := a.newWork().(*work)
	w.bundle = &bundle.Bundle{Dir: filepath.Join(a.opts.StateDir, "bundle"), Versions: map[string]string{"pause": "1"}}
	return w
}

// apply activates a state as the installer does.
func apply(ctx context.Context, a *Agent, w *work, g *generation.Generation) error {
	change, err := w.Plan(ctx, g)
	if err != nil {
		return err
	}
	store, state, err := generation.Open(a.opts.StateDir, "node-1")
	if err != nil {
		return err
	}
	state.Good = change.Generation
	return errors.Join(store.Write(state), change.Apply())
}

// reborn is the agent after the next start, which knows what is on disk alone, and that state.
func reborn(t *testing.T, a *Agent, g *generation.Generation) *generation.Generation {
	t.Helper()
	w := begin(a)
	if err := errors.Join(w.Check(t.Context(), g, nil), apply(t.Context(), a, w, g)); err != nil {
		t.Fatal(err)
	}
	state := begunWith(t, a, g)
	if state.Good == nil {
		t.Fatal("the state was not kept")
	}
	return state.Good
}

// unpack puts an empty bundle where a fetch would, and has the state name it.
func unpack(t *testing.T, a *Agent, g *generation.Generation) {
	t.Helper()
	image, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{bundle.FilesLabel: "[]"}})
	if err != nil {
		t.Fatal(err)
	}
	digest, digestErr := image.Digest()
	manifest, manifestErr := image.RawManifest()
	config, configErr := image.RawConfigFile()
	dir := filepath.Join(a.opts.StateDir, "bundles", digest.Hex, ".oci")
	if err := errors.Join(digestErr, manifestErr, configErr, os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o600), os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600)); err != nil {
		t.Fatal(err)
	}
	g.Spec.Artifacts = []v1alpha1.Artifact{{Architecture: runtime.GOARCH, Image: "registry.example/bundle@" + digest.String()}}
}

func full(a *Agent) {
	a.system.DiskBytes = func(string) (int64, int64, error) { return 40 << 30, 900 << 20, nil }
}

func TestAFullDiskKeepsANewNodeFromItsStateButNotOneThatHadIt(t *testing.T) {
	a, g := machine(t)
	full(a)
	if err := begin(a).Check(t.Context(), g, nil); err == nil || !strings.Contains(err.Error(), finding.DiskSpace) {
		t.Errorf("a new node with a full disk: got %v, want the finding", err)
	}

	a, g = machine(t)
	kept := reborn(t, a, g)
	full(a)
	w := begin(a)
	if err := w.Check(t.Context(), kept, kept); err != nil {
		t.Errorf("after a reboot at disk pressure the kubelet, who alone makes room, is not started: %v", err)
	}
	if len(finding.Errors(w.findings)) != 1 || !w.Flawed() {
		t.Errorf("findings are %v, want the full disk, to be looked at again", w.findings)
	}
	other := *kept
	other.Spec.Revision = "r2"
	if err := begin(a).Check(t.Context(), &other, nil); err == nil {
		t.Error("another state was taken with a full disk")
	}
	a.system.DiskBytes = func(string) (int64, int64, error) { return 40 << 30, 20 << 30, nil }
	if err := w.Check(t.Context(), kept, kept); err != nil || len(w.findings) != 0 || w.Flawed() {
		t.Errorf("with room again: %v, %v", w.findings, err)
	}
}

func TestAFullDiskDoesNotMatterToWhatNeedNotBeFetched(t *testing.T) {
	a, g := machine(t)
	full(a)
	unpack(t, a, g)
	w := begin(a)
	if err := w.Check(t.Context(), g, nil); err != nil {
		t.Errorf("the bundle is here, and still: %v", err)
	}
	if len(w.findings) != 1 || w.findings[0].Severity != v1alpha1.FindingWarning {
		t.Errorf("findings are %v, want a warning", w.findings)
	}
}

func TestModulesAreLoadedBeforeTheMachineIsLookedAt(t *testing.T) {
	a, g := machine(t)
	var lines []string
	a.log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	modular := map[string]string{}
	for _, name := range []string{"proc/filesystems", "proc/sys/net/netfilter/nf_conntrack_max", "proc/sys/net/bridge/bridge-nf-call-iptables"} {
		modular[name] = sound[name]
		if err := os.Remove(filepath.Join(a.system.Root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(a.system.Root, "usr/sbin/modprobe"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.kernel.Run = func(context.Context, string, ...string) error { return errors.New("exit status 1") }
	w := begin(a)
	if err := w.Check(t.Context(), g, nil); err == nil || !strings.Contains(strings.Join(lines, "\n"), "Failed to load kernel modules") {
		t.Errorf("got %v, want a preflight that fails and a cause in the log:\n%s", err, strings.Join(lines, "\n"))
	}
	runs := 0
	a.kernel.Run = func(context.Context, string, ...string) error {
		runs++
		for name, content := range modular {
			if err := os.WriteFile(filepath.Join(a.system.Root, name), []byte(content), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	for range 2 {
		if err := w.Check(t.Context(), g, nil); err != nil || len(w.findings) > 0 {
			t.Errorf("a machine whose kernel has it all as modules: %v, %v", err, w.findings)
		}
	}
	if f := w.facts; !f.Overlayfs || !f.BridgeNetfilter || f.ConntrackWritable == nil || !*f.ConntrackWritable {
		t.Errorf("the facts are from before the modules: %+v", f)
	}
	if runs != 1 || !strings.Contains(strings.Join(lines, "\n"), "Loaded kernel modules") {
		t.Errorf("modprobe ran %d times, want once and a word of it in the log:\n%s", runs, strings.Join(lines, "\n"))
	}
}

func TestAMachineWithAKubeletOfOthersIsLeftAlone(t *testing.T) {
	a, g := machine(t)
	theirs := filepath.Join(a.paths.KubeletDir, "pki", "kubelet-client-current.pem")
	if err := errors.Join(os.MkdirAll(filepath.Dir(theirs), 0o755), os.WriteFile(theirs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := begin(a).Check(t.Context(), g, nil); err == nil || !strings.Contains(err.Error(), "another container runtime or kubelet is installed here: it uses "+a.paths.KubeletDir) {
		t.Errorf("got %v", err)
	}
	if closed(a.claimed) {
		t.Error("the kubelet's certificate would be written over theirs")
	}
	if err := os.RemoveAll(a.paths.KubeletDir); err != nil {
		t.Fatal(err)
	}
	if err := begin(a).Check(t.Context(), g, nil); err != nil || !closed(a.claimed) {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestANodeKeepsItsAddressWhileTheResolverIsSilent(t *testing.T) {
	silent := func(ctx context.Context, _ string) ([]netip.Addr, error) {
		if _, bounded := ctx.Deadline(); bounded {
			return nil, context.DeadlineExceeded
		}
		return nil, errors.New("no such host")
	}
	a, g := machine(t)
	a.system.LookupHost = silent
	if err := begin(a).Check(t.Context(), g, nil); !errors.Is(err, host.ErrNoAddress) {
		t.Errorf("a new node without an address: got %v", err)
	}

	a, g = machine(t)
	kept := reborn(t, a, g)
	a.system.LookupHost = silent
	w := begin(a)
	if err := w.Check(t.Context(), kept, kept); err != nil {
		t.Fatalf("a name that did not resolve at the start keeps the node down: %v", err)
	}
	if w.facts.NodeIP.String() != "10.88.0.10" || w.facts.MTU != 1450 {
		t.Errorf("goes on as %s with MTU %d, want the last ones", w.facts.NodeIP, w.facts.MTU)
	}
	if len(w.findings) != 1 || w.findings[0].Severity != v1alpha1.FindingWarning || !strings.Contains(w.findings[0].Message, "api.example") || !w.Flawed() {
		t.Errorf("findings are %v, want a warning that names the cause, to be looked at again", w.findings)
	}
	if err := apply(t.Context(), a, w, kept); err != nil {
		t.Fatal(err)
	}
	if _, again, err := generation.Open(a.opts.StateDir, "node-1"); err != nil || again.Good.NodeIP != "10.88.0.10" || again.Good.MTU != 1450 {
		t.Errorf("the address is lost for the next start: %v, %v", again, err)
	}
}

func TestAChangeThatFailedCanBeMadeOnceThereIsRoom(t *testing.T) {
	a, g := machine(t)
	kept := reborn(t, a, g)
	w := begin(a)
	if err := w.Check(t.Context(), kept, kept); err != nil {
		t.Fatal(err)
	}
	aside, room := a.paths.ConfigDir+".aside", a.paths.ConfigDir+".room" // which is made in one go
	if err := errors.Join(os.Rename(a.paths.ConfigDir, aside), os.Symlink(room, a.paths.ConfigDir),
		os.WriteFile(filepath.Join(a.opts.StateDir, "network.json"), []byte(`{"node":"node-1","podCIDRs":["10.244.3.0/28"]}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := apply(t.Context(), a, w, kept); err == nil {
		t.Error("nothing can be written, and nobody sees it")
	}
	if err := os.Rename(aside, room); err != nil {
		t.Fatal(err)
	}
	if err := apply(t.Context(), a, w, kept); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(a.paths.ConfigDir, "kubelet.yaml")); err != nil || !strings.Contains(string(data), "maxPods: 13") {
		t.Errorf("got %v, %s; want what the Node's range has room for", err, data)
	}
}

func TestANodeThatMayRunFewerPodsThanAskedForSaysSo(t *testing.T) {
	a, g := machine(t)
	g.Spec.Kubelet.MaxPods = ptr.To[int32](400)
	kept := reborn(t, a, g)
	w := begin(a)
	if err := w.Check(t.Context(), kept, kept); err != nil {
		t.Fatal(err)
	}
	maxPods := func() (found []string) {
		for _, f := range w.Findings() {
			if f.Name == finding.MaxPods {
				found = append(found, string(f.Severity)+" "+f.Message)
			}
		}
		return found
	}
	if err := apply(t.Context(), a, w, kept); err != nil || len(maxPods()) > 0 {
		t.Fatalf("%v, %q, before the Node's range is known", err, maxPods())
	}
	if err := os.WriteFile(filepath.Join(a.opts.StateDir, "network.json"), []byte(`{"node":"node-1","podCIDRs":["10.244.3.0/24"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the machine is made ready anew for a state that comes back
		a.prepared.Store(nil)
		if err := apply(t.Context(), a, w, kept); err != nil {
			t.Fatal(err)
		}
	}
	if found := maxPods(); len(found) != 1 || !strings.HasPrefix(found[0], "Warning maxPods is 400, and the Node's pod range 10.244.3.0/24 has addresses for 253 pods only") {
		t.Errorf("found %q", found)
	}
	if data, err := os.ReadFile(filepath.Join(a.paths.ConfigDir, "kubelet.yaml")); err != nil || !strings.Contains(string(data), "maxPods: 253\n") {
		t.Errorf("got %v, %s; want what the range has room for", err, data)
	}
}

// The network of pods that run is not theirs to lose because a bundle cannot be fetched.
func TestTheMachineIsMadeReadyForASuccessorWhenThatIsActivated(t *testing.T) {
	a, g := machine(t)
	kept := reborn(t, a, g)
	runs := begin(a)
	if err := runs.Check(t.Context(), kept, kept); err != nil {
		t.Fatal(err)
	}
	wanted := kept.Next(&v1alpha1.NodeAgent{Spec: *kept.Spec.DeepCopy()})
	wanted.Spec.Revision, wanted.Spec.Network.Mode = "r2", v1alpha1.NetworkModeExternal
	wanted.Spec.Sysctls = map[string]v1alpha1.SysctlValue{"net.ipv4.ip_forward": "0"}
	forward := func() string {
		data, err := os.ReadFile(filepath.Join(a.system.Root, "proc/sys/net/ipv4/ip_forward"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	w := begin(a)
	if err := w.Check(t.Context(), wanted, nil); err != nil {
		t.Fatal(err)
	}
	if forward() != "1" || a.prepared.Load() != runs {
		t.Errorf("the check of a successor changed the machine: ip_forward=%s", forward())
	}
	if err := apply(t.Context(), a, w, wanted); err != nil {
		t.Fatal(err)
	}
	if forward() != "0" || a.prepared.Load() != w {
		t.Errorf("its activation did not: ip_forward=%s", forward())
	}
	if err := apply(t.Context(), a, runs, kept); err != nil || forward() != "1" || a.prepared.Load() != runs {
		t.Errorf("nor did going back: ip_forward=%s, %v", forward(), err)
	}
}

func TestWhatIsChangedOnAMachineLaterIsFound(t *testing.T) {
	a, g := machine(t)
	kept := reborn(t, a, g)
	var drops []host.ForwardDrop
	a.system.ForwardDrops = func() ([]host.ForwardDrop, error) { return drops, nil }
	a.system.Addresses = func() ([]host.Route, error) { return nil, errors.New("whose want says nothing of all else") }
	w := begin(a)
	if err := w.Check(t.Context(), kept, kept); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		drops  []host.ForwardDrop
		want   string
		flawed bool
	}{
		{"nothing", nil, "", false},
		{"a firewall that may be in the way", []host.ForwardDrop{{Chain: "chain f"}}, "Warning Firewall", false},
		{"the same", []host.ForwardDrop{{Chain: "chain f"}}, "Warning Firewall", false},
		{"nothing any more", nil, "", false},
		{"a firewall that is in the way", []host.ForwardDrop{{Chain: "chain f", Certain: true}}, "Error Firewall", true},
	} {
		found := func() string {
			names := ""
			for _, f := range w.Findings() {
				names += string(f.Severity) + " " + f.Name
			}
			return names
		}
		before := found()
		drops = c.drops
		for len(a.dirty) > 0 {
			<-a.dirty
		}
		w.Look(t.Context(), kept)
		if got := found(); got != c.want || w.Flawed() != c.flawed {
			t.Errorf("%s: found %q, flawed is %v", c.what, got, w.Flawed())
		}
		if news := len(a.dirty) > 0; news != (before != c.want) {
			t.Errorf("%s: the status is to be written: %v", c.what, news)
		}
	}
}
