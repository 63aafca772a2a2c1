package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const errandVariable = "DROVER_TEST_ERRAND"

// errand is what a manager of these tests is started for: one call that it may not survive.
type errand struct {
	Root, Agent, Bundles string
	Want                 Wanted
	Remove               bool
	// CrashAt is the call to the host at which it kills itself: 2n before the n-th, 2n+1 after.
	CrashAt int
}

// TestMain makes the test's binary a manager when it is told so: a process that can be killed for real.
func TestMain(m *testing.M) {
	if text := os.Getenv(errandVariable); text != "" {
		if err := runErrand(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := removeStale(); err != nil {
		fmt.Fprintln(os.Stderr, "remove what killed tests left:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func runErrand(text string) error {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	m := &Machines{Root: e.Root, AgentBinary: e.Agent, SharedBundles: e.Bundles, CgroupParent: testCgroup, Host: &mortal{LinuxHost: LinuxHost{}, left: e.CrashAt}}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if e.Remove {
		return m.Remove(ctx, e.Want.Key)
	}
	_, err := m.Ensure(ctx, e.Want)
	return err
}

// mortal is a host whose manager kills itself at one of its calls.
type mortal struct {
	LinuxHost
	left int
}

func (h *mortal) point() {
	if h.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	h.left--
}

func (h *mortal) around() func() { h.point(); return h.point }

func (h *mortal) Bridge(name string) (Bridge, error) {
	defer h.around()()
	return h.LinuxHost.Bridge(name)
}

func (h *mortal) MakeCgroups(c Cgroups) error {
	defer h.around()()
	return h.LinuxHost.MakeCgroups(c)
}

func (h *mortal) RemoveCgroups(ctx context.Context, c Cgroups) error {
	defer h.around()()
	return h.LinuxHost.RemoveCgroups(ctx, c)
}

func (h *mortal) Launch(l Launch) (Waiting, error) {
	defer h.around()()
	w, err := h.LinuxHost.Launch(l)
	return mortalWaiting{w, h}, err
}

type mortalWaiting struct {
	Waiting
	host *mortal
}

// Go has a third point: after the word, before the answer.
func (w mortalWaiting) Go(ctx context.Context, timeout time.Duration) error {
	defer w.host.around()()
	if real, ok := w.Waiting.(*waiting); ok && w.host.left == 0 {
		_, _ = real.gate.Write([]byte{gateByte})
	}
	w.host.point()
	return w.Waiting.Go(ctx, timeout)
}

func (h *mortal) AttachLink(l Link, p Process) error {
	defer h.around()()
	return h.LinuxHost.AttachLink(l, p)
}

func (h *mortal) RemoveLink(name string) error {
	defer h.around()()
	return h.LinuxHost.RemoveLink(name)
}

func (h *mortal) Signal(p Process, s syscall.Signal) error {
	defer h.around()()
	return h.LinuxHost.Signal(p, s)
}

func (h *mortal) RemoveTree(dir string) error {
	defer h.around()()
	return h.LinuxHost.RemoveTree(dir)
}

// send runs a manager and says whether it was killed.
func (w *world) send(e errand) bool {
	w.t.Helper()
	e.Root, e.Agent, e.Bundles = w.Root, w.AgentBinary, w.SharedBundles
	text, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), errandVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		w.t.Fatalf("a manager that was to be killed at point %d failed instead: %v\n%s", e.CrashAt, err, out)
	}
	return true
}

// inits counts the first processes of a machine.
func (w *world) inits(want Wanted) int {
	count := 0
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		data, err := os.ReadFile(line)
		if err == nil && strings.Contains(string(data), "init\x00--config\x00"+w.layout(want.Key).boot()) {
			count++
		}
	}
	return count
}

func TestManagerKilledWhileMakingAMachine(t *testing.T) {
	w := newWorld(t)
	points := 0
	for ; ; points++ {
		want := testWanted(fmt.Sprintf("made-%d", points))
		killed := w.send(errand{Want: want, CrashAt: points})
		state := w.ensure(want)
		eventually(t, "one init is left", func() bool { return w.inits(want) == 1 })
		if got := strings.TrimSpace(ask(t, state, "/read", "path", "/etc/hostname")); got != want.Key.Name {
			t.Errorf("point %d: the machine calls itself %s", points, got)
		}
		if err := w.Remove(context.Background(), want.Key); err != nil {
			t.Fatalf("point %d: %v", points, err)
		}
		w.nothingLeft(want.Key, state.Process)
		if !killed {
			break
		}
	}
	if points < 13 {
		t.Errorf("the manager was killed at %d points, want every call to the host before and after", points)
	}
}

func TestManagerKilledWhileRemovingAMachine(t *testing.T) {
	w := newWorld(t)
	points := 0
	for ; ; points++ {
		want := testWanted(fmt.Sprintf("gone-%d", points))
		state := w.ensure(want)
		killed := w.send(errand{Want: want, Remove: true, CrashAt: points})
		if err := w.Remove(context.Background(), want.Key); err != nil {
			t.Fatalf("point %d: %v", points, err)
		}
		w.nothingLeft(want.Key, state.Process)
		if !killed {
			break
		}
	}
	if points < 8 {
		t.Errorf("the manager was killed at %d points, want every call to the host before and after", points)
	}
}

func TestMachineRemovedHalfMade(t *testing.T) {
	w := newWorld(t)
	for points := 0; ; points++ {
		want := testWanted(fmt.Sprintf("half-%d", points))
		killed := w.send(errand{Want: want, CrashAt: points})
		if err := w.Remove(context.Background(), want.Key); err != nil {
			t.Fatalf("point %d: %v", points, err)
		}
		eventually(t, "no init is left", func() bool { return w.inits(want) == 0 })
		w.nothingLeft(want.Key, Process{})
		if !killed {
			return
		}
	}
}
