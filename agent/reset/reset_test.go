package reset

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/test/netspace"
)

// machine is a place like a node's, in directories and a network namespace of the test's own.
func machine(t *testing.T) (Options, *bytes.Buffer) {
	t.Helper()
	netspace.Enter(t)
	dir := t.TempDir()
	paths := component.Paths{
		ConfigDir: dir + "/etc/components", LogDir: dir + "/log", KubeletDir: dir + "/kubelet",
		ContainerdRoot: dir + "/containerd", ContainerdState: dir + "/run/containerd", CNIConfDir: dir + "/net.d",
	}
	out := &bytes.Buffer{}
	o := Options{Root: dir + "/root", StateDir: dir + "/state", RunDir: dir + "/run/drover", NetnsDir: dir + "/netns", Leftovers: []string{dir + "/pods"}, Paths: paths, CgroupRoot: "/drover-test-none", Out: out}
	for _, d := range []string{o.StateDir + "/pki", o.RunDir, paths.ConfigDir, paths.LogDir, paths.KubeletDir + "/pods/x", paths.ContainerdRoot, paths.CNIConfDir, dir + "/pods"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(paths.CNIConfDir+"/99-others.conf", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := paths.Claim(true); err != nil {
		t.Fatal(err)
	}
	return o, out
}

// mounted mounts a small tmpfs, and takes it down again if the test does not.
func mounted(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// component starts a process as the agent does, and leaves it behind as a killed agent would.
func startComponent(t *testing.T, o Options, name string) int {
	t.Helper()
	s, err := supervise.New(supervise.Options{RunDir: o.RunDir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	defer func() { stop(); <-done }()
	if err := s.Apply([]supervise.Process{{Name: name, Path: "/bin/sleep", Args: []string{"600"}, LogFile: o.Paths.LogDir + "/" + name + ".log"}}); err != nil {
		t.Fatal(err)
	}
	var pid int
	err = wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		for _, c := range s.Status() {
			if c.PID != nil {
				pid = int(*c.PID)
			}
		}
		return pid > 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) })
	return pid
}

func runs(t *testing.T, pid int) bool {
	t.Helper()
	start, err := startTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	return start != 0
}

func TestResetRemovesWhatTheAgentMadeAndNothingElse(t *testing.T) {
	o, out := machine(t)
	pid := startComponent(t, o, "kubelet")
	mounted(t, o.Paths.KubeletDir+"/pods/x")
	mounted(t, o.NetnsDir+"/cni-1234")
	mounted(t, o.NetnsDir+"/others")
	mounted(t, o.StateDir+"/shared-bundles")
	if err := network.NewKernel().Masquerade([]netip.Prefix{netip.MustParsePrefix("10.244.0.0/24")}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if runs(t, pid) {
		t.Errorf("process %d still runs", pid)
	}
	for _, gone := range []string{o.RunDir, o.Paths.KubeletDir, o.Paths.ContainerdRoot, o.Paths.LogDir, o.StateDir + "/pki", o.NetnsDir + "/cni-1234", o.Leftovers[0]} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s is left", gone)
		}
	}
	for _, kept := range []string{o.Paths.CNIConfDir + "/99-others.conf", o.NetnsDir + "/others", o.StateDir + "/shared-bundles"} {
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("%s was others': %v", kept, err)
		}
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	if tables, err := conn.ListTables(); err != nil || len(tables) != 0 {
		t.Errorf("tables %v, %v: want none", tables, err)
	}
	for _, line := range []string{"Stopped the kubelet", "Removed " + o.Paths.KubeletDir, "Removed nftables table drover", "Kept " + o.StateDir} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it did not say %q; it said:\n%s", line, out)
		}
	}
}

func TestResetLeavesAnotherRuntimeAndKubeletAlone(t *testing.T) {
	o, out := machine(t)
	socket := &net.ListenConfig{}
	listener, err := socket.Listen(t.Context(), "unix", o.Paths.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	asked := make(chan struct{})
	go func() {
		if conn, err := listener.Accept(); err == nil {
			close(asked)
			_ = conn.Close()
		}
	}()
	theirs := []string{o.Paths.KubeletDir, o.Paths.ContainerdRoot, o.Paths.ContainerdState}
	for _, dir := range theirs {
		if err := os.Remove(component.Marker(dir)); err != nil {
			t.Fatal(err)
		}
	}
	mounted(t, o.Paths.KubeletDir+"/pods/x")
	mounted(t, o.NetnsDir+"/cni-1234")
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "kube-proxy"})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, kept := range append(theirs, o.Leftovers...) {
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("another's %s is gone: %v; it said:\n%s", kept, err, out)
		}
	}
	for _, dir := range []string{o.Paths.KubeletDir + "/pods/x", o.NetnsDir + "/cni-1234"} {
		if points, err := mountsAt(dir); err != nil || len(points) != 1 {
			t.Errorf("another's mount at %s: %v, %v", dir, points, err)
		}
	}
	if tables, err := conn.ListTables(); err != nil || len(tables) != 1 {
		t.Errorf("another's table: %v, %v", tables, err)
	}
	select {
	case <-asked:
		t.Error("another's containerd was asked for its pods")
	default:
	}
	if _, err := os.Stat(o.StateDir); err == nil {
		t.Error("our own state is left")
	}
}

func TestAResetThatFailedKnowsItsDirectoriesTheNextTime(t *testing.T) {
	o, _ := machine(t)
	r := &resetter{Options: o}
	if err := r.removeFiles(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(o.Paths.KubeletDir); err != nil || len(entries) != 1 || len(r.claimed()) != 3 {
		t.Errorf("the kubelet's directory has %v (%v), want its mark alone; known are %v", entries, err, r.claimed())
	}
}

func TestResetTwiceDoesNothingTheSecondTime(t *testing.T) {
	o, out := machine(t)
	for range 2 {
		out.Reset()
		if err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasPrefix(out.String(), "Nothing to reset") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("the second time it said:\n%s", out)
	}
}

func TestResetEndsARunningAgentFirst(t *testing.T) {
	o, _ := machine(t)
	if err := os.WriteFile(filepath.Join(o.RunDir, service.LockName), []byte("not a number"), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(o.RunDir, service.LockName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "stop it") {
		t.Errorf("got %v: an agent that cannot be told from others must be stopped by hand", err)
	}
	if _, err := os.Stat(o.Paths.KubeletDir); err != nil {
		t.Errorf("something was removed under a running agent: %v", err)
	}
}

// starter tries at every word of a reset what an agent does that is started again at once.
type starter struct {
	lock  string
	words int
	began []string
}

func (s *starter) Write(word []byte) (int, error) {
	s.words++
	file, err := os.OpenFile(s.lock, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), file.Close())
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		s.began = append(s.began, string(word))
	}
	return len(word), nil
}

func TestNoAgentCanStartWhileAResetRuns(t *testing.T) {
	o, _ := machine(t)
	agent := &starter{lock: filepath.Join(o.RunDir, service.LockName)}
	o.Out = agent
	startComponent(t, o, "kubelet")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if last := []string{"Removed " + o.RunDir + "\n", "Nothing of Drover is left\n"}; agent.words < 5 || !slices.Equal(agent.began, last) {
		t.Errorf("an agent could have started at %q, want no sooner than at %q", agent.began, last)
	}
}

func TestADirectoryBoundToItselfIsUnmounted(t *testing.T) {
	o, _ := machine(t)
	if err := unix.Mount(o.Paths.KubeletDir, o.Paths.KubeletDir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(o.Paths.KubeletDir, unix.MNT_DETACH) })
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Paths.KubeletDir); err == nil {
		t.Error("the kubelet's directory is left")
	}
}
