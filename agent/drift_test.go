package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/drift"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// watched is an agent that has applied a state and looks after it until the test ends.
func watched(t *testing.T, settings v1alpha1.DriftSettings) *Agent {
	t.Helper()
	a, g := machine(t)
	settings.Binaries = v1alpha1.DriftIgnore // the bundle has none
	g.Spec.Drift = settings
	reborn(t, a, g)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.drift.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

// soon waits for what the kernel tells of, or what is looked at all the time, on a machine that has other work as well: for less than
// it is until files are looked at anyway. That it takes two seconds at most is measured on real nodes, with the faults.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(rescanEvery * 2 / 3); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func (a *Agent) tells(name, text string) bool {
	for _, f := range a.drift.Findings() {
		if f.Name == name && strings.Contains(f.Message, text) {
			return true
		}
	}
	return false
}

func TestWhatOthersChangeOfANodeIsPutBack(t *testing.T) {
	for name, c := range map[string]struct {
		path   func(*Agent) string
		change func(path string) error
	}{
		"the kubelet's configuration": {
			func(a *Agent) string { return filepath.Join(a.paths.ConfigDir, "kubelet.yaml") },
			func(path string) error { return os.WriteFile(path, []byte("maxPods: 9\n"), 0o644) },
		},
		"containerd's, deleted": {func(a *Agent) string { return filepath.Join(a.paths.ConfigDir, "containerd.toml") }, os.Remove},
		"all of it": {
			func(a *Agent) string { return filepath.Join(a.paths.ConfigDir, "kube-proxy.yaml") },
			func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".gone") },
		},
		"a parameter of the kernel's": {
			func(a *Agent) string { return a.system.Path("/proc/sys/net/ipv4/ip_forward") },
			func(path string) error { return os.WriteFile(path, []byte("0"), 0o644) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := watched(t, v1alpha1.DriftSettings{})
			path := c.path(a)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			soon(t, "it is put back", func() bool {
				now, err := os.ReadFile(path)
				return err == nil && strings.TrimSpace(string(now)) == strings.TrimSpace(string(before))
			})
			soon(t, "it is told", func() bool { return a.tells(finding.DriftRepaired, "") })
			soon(t, "nothing differs any more", func() bool { return !a.tells(finding.Drift, "") })
		})
	}
}

func TestWhatIsOnlyToBeToldIsLeft(t *testing.T) {
	a := watched(t, v1alpha1.DriftSettings{Files: v1alpha1.DriftReport, Sysctls: v1alpha1.DriftReport})
	config, parameter := filepath.Join(a.paths.ConfigDir, "kubelet.yaml"), a.system.Path("/proc/sys/net/ipv4/ip_forward")
	if err := errors.Join(os.WriteFile(config, []byte("maxPods: 9\n"), 0o644), os.WriteFile(parameter, []byte("0"), 0o644)); err != nil {
		t.Fatal(err)
	}
	soon(t, "the file is told", func() bool { return a.tells(finding.Drift, config+" has at line 1") })
	soon(t, "the parameter is told", func() bool { return a.tells(finding.Drift, `net.ipv4.ip_forward is "0", not "1"`) })
	for path, want := range map[string]string{config: "maxPods: 9\n", parameter: "0"} {
		if data, err := os.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("%s was put back to %q: %v", path, data, err)
		}
	}
}

// The generation is tried again or rolled back; what it wrote before the disk was full is its own.
func TestWhatWasHalfWrittenIsNoDrift(t *testing.T) {
	a, g := machine(t)
	reborn(t, a, g)
	mine := a.applied.generation
	first, blocked := filepath.Join(a.paths.ConfigDir, "kubelet.yaml"), filepath.Join(a.paths.ConfigDir, "blocked", "file")
	if err := os.WriteFile(filepath.Dir(blocked), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	plan := *a.applied.plan
	plan.Files = []component.File{{Path: first, Content: []byte("maxPods: 20\n"), Mode: 0o644}, {Path: blocked, Mode: 0o644}}
	next := *g
	if err := a.applied.write(&next, a.applied.work, a.applied.bundle, &plan); err == nil {
		t.Fatal("a file was written below a file")
	}
	if a.applied.generation != mine {
		t.Error("what could not be written counts as what the machine was made to have")
	}
	found, err := a.lookAtFiles(t.Context())
	if len(found) > 0 || err != nil {
		t.Errorf("it counts as changed by others: %v, %v", found, err)
	}
	if err := a.repairFiles(t.Context(), []drift.Difference{{Name: first}}); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(first); string(data) != "maxPods: 20\n" {
		t.Errorf("it was written meanwhile: %q, %v", data, err)
	}
}

// A registry that nobody asked for would be used for each pull.
func TestARegistryThatOthersPutThereIsRemoved(t *testing.T) {
	a := watched(t, v1alpha1.DriftSettings{})
	surplus := filepath.Join(a.paths.ConfigDir, "certs.d", "evil.example", "hosts.toml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(surplus), 0o755), os.WriteFile(surplus, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	soon(t, "it is removed", func() bool { _, err := os.Lstat(surplus); return errors.Is(err, os.ErrNotExist) })
}

// The kubelet reads its configuration at its start: one that runs for longer has read the right one.
func TestOnlyAComponentThatMayHaveReadTheWrongFileIsRestarted(t *testing.T) {
	a, g := machine(t)
	reborn(t, a, g)
	pid := kubeletOf(t, a)
	first, config := pid(), filepath.Join(a.paths.ConfigDir, "kubelet.yaml")
	for reason, d := range map[string]drift.Difference{
		"it runs for longer":                {Name: config, Changed: time.Now().Add(5 * time.Second)},
		"it does not read another's":        {Name: filepath.Join(a.paths.ConfigDir, "containerd.toml")},
		"it reads this one again by itself": {Name: filepath.Join(a.paths.ConfigDir, "client-ca.crt")},
	} {
		if names := a.misled(a.applied.plan, []drift.Difference{d}); len(names) > 0 {
			t.Errorf("%s, and still %v are to be restarted", reason, names)
		}
	}
	if err := a.repairFiles(t.Context(), []drift.Difference{{Name: config, Changed: time.Now().Add(-time.Minute)}}); err != nil {
		t.Fatal(err)
	}
	soon(t, "one that was started with the wrong file is another", func() bool { return pid() != 0 && pid() != first })
}

// kubeletOf is the number of the process that runs as the kubelet until the test ends, 0 while none does.
func kubeletOf(t *testing.T, a *Agent) func() int32 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.supervise.Run(ctx) }()
	t.Cleanup(func() {
		if err := a.supervise.StopAll(context.Background()); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := a.supervise.Apply([]supervise.Process{{Name: v1alpha1.ComponentKubelet, Path: "/bin/sleep", Args: []string{"600"}, LogFile: filepath.Join(t.TempDir(), "log")}}); err != nil {
		t.Fatal(err)
	}
	pid := func() int32 {
		for _, c := range a.supervise.Status() {
			if c.Name == v1alpha1.ComponentKubelet && c.PID != nil && c.State == v1alpha1.ComponentRunning {
				return *c.PID
			}
		}
		return 0
	}
	soon(t, "it runs", func() bool { return pid() != 0 })
	return pid
}

// While a bundle is fetched again another generation may be activated, whose programs are others.
func TestARepairedBundleIsNoReasonToRestartTheProgramsOfAnother(t *testing.T) {
	a, g := machine(t)
	unpack(t, a, g)
	repaired, err := a.bundles(g.Spec.Cluster).Ensure(t.Context(), g.Spec.Artifacts[0].Image)
	if err != nil {
		t.Fatal(err)
	}
	pid := kubeletOf(t, a)
	mended := func() int {
		record, err := os.ReadFile(filepath.Join(a.opts.RunDir, "processes", "kubelet.json"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(record), `"Loss"`)
	}
	a.applied.bundle = &bundle.Bundle{Digest: "sha256:" + strings.Repeat("a", 64)}
	if err := a.restartOthers(repaired); err != nil || mended() != 0 {
		t.Errorf("the bundle of another generation: %d restarts, %v", mended(), err)
	}
	first := pid()
	a.applied.bundle = repaired
	if err := a.restartOthers(repaired); err != nil {
		t.Fatal(err)
	}
	soon(t, "its own has the kubelet restarted, which is not its program", func() bool { return mended() == 1 && pid() != 0 && pid() != first })
}

// While a new version of the agent is on trial the systemd units are its predecessor's, which it may have to give way to.
func TestAnAgentOnTrialLeavesTheUnitsToItsPredecessor(t *testing.T) {
	a, _ := machine(t)
	path := filepath.Join(t.TempDir(), "drover-agent.service")
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	report := func() v1alpha1.DriftPolicy { return v1alpha1.DriftReport }
	part := unitPart(map[string]string{path: "after"}, a.unitPolicy(report))
	keeper := &drift.Keeper{Parts: []drift.Part{part}, Clock: clock.RealClock{}, Log: a.log}
	a.drift = keeper
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); keeper.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if got := part.Policy(); got != v1alpha1.DriftIgnore {
		t.Errorf("on trial: the policy is %s", got)
	}
	a.updater = a.newUpdater()
	a.updater.Ready(t.Context())
	soon(t, "once it has proved itself a change is told", func() bool { return a.tells(finding.Drift, path) })
}
