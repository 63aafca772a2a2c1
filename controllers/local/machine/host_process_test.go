package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const aloneVariable = "DROVER_TEST_ALONE"

// alone runs the test in a process of its own, in a group of its own: one that runs out of descriptors, or kills its
// group, harms no other test. It says whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneVariable) != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), aloneVariable+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the test in a process of its own: %v\n%s", err, out)
	}
	return false
}

// withoutDescriptors runs do while no file can be opened.
func withoutDescriptors(t *testing.T, do func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
}

// launched is a process that stays, as a machine's first one waits for the word.
func launched(t *testing.T) *waiting {
	t.Helper()
	answer, gate, err := os.Pipe() // Nothing is said on either.
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &waiting{process: Process{PID: cmd.Process.Pid}, gate: gate, answer: answer}
	if err := cmd.Process.Release(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAMachineThatCannotBeIdentifiedIsEndedAlone(t *testing.T) {
	if !alone(t) {
		return
	}
	w := launched(t)
	pid := w.Process().PID
	withoutDescriptors(t, func() {
		if err := w.identify(); !errors.Is(err, unix.EMFILE) {
			t.Errorf("got %v without descriptors, want EMFILE", err)
		}
		w.Abort() // With the PID of nobody this kills the test's process group.
	})
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the process %d is still there (%v)", pid, err)
	}
}

func TestWhatIsNoProcessIsNotKilled(t *testing.T) {
	if !alone(t) {
		return
	}
	child := launched(t)
	defer child.Abort()
	for _, pid := range []int{0, 1, -1, -os.Getpid()} {
		if isOne(pid) {
			t.Fatalf("%d passes for a process of a machine", pid)
		}
	}
	// Of these, a mistake reaches the test's own group at most.
	for _, pid := range []int{0, -os.Getpid()} {
		p := Process{PID: pid}
		killOne(pid)
		collect(pid, 0) // would wait for the child, which does not end
		if err := (LinuxHost{}).Signal(p, syscall.SIGKILL); err != nil {
			t.Errorf("signal %d: %v", pid, err)
		}
		if _, err := (LinuxHost{}).Watch(t.Context(), p); err != nil {
			t.Errorf("watch %d: %v", pid, err)
		}
	}
	if err := unix.Kill(child.Process().PID, 0); err != nil {
		t.Errorf("a child was killed in its stead: %v", err)
	}
}

func TestWhoCannotLookDoesNotTakeAProcessForDead(t *testing.T) {
	if !alone(t) {
		return
	}
	w, host := launched(t), LinuxHost{}
	if err := w.identify(); err != nil {
		t.Fatal(err)
	}
	p := w.Process()
	if alive, err := host.Alive(p); err != nil || !alive {
		t.Errorf("got %t, %v of a process that runs", alive, err)
	}
	withoutDescriptors(t, func() {
		if alive, err := host.Alive(p); !errors.Is(err, unix.EMFILE) || alive {
			t.Errorf("got %t, %v without descriptors, want EMFILE", alive, err)
		}
		if err := host.Signal(p, syscall.SIGKILL); !errors.Is(err, unix.EMFILE) {
			t.Errorf("signalled without descriptors: got %v, want EMFILE", err)
		}
		if _, err := host.Watch(t.Context(), p); !errors.Is(err, unix.EMFILE) {
			t.Errorf("watched without descriptors: got %v, want EMFILE", err)
		}
	})
	later, elsewhere := p, p
	later.StartTime++
	elsewhere.HostBootID = "another"
	for what, other := range map[string]Process{"a later process of the ID": later, "one of another boot": elsewhere, "nobody": {}} {
		if alive, err := host.Alive(other); err != nil || alive {
			t.Errorf("got %t, %v of %s, want it known to be gone", alive, err, what)
		}
	}
	killOne(p.PID)
	eventually(t, "a dead process that nobody collected is gone", func() bool {
		alive, err := host.Alive(p)
		return err == nil && !alive
	})
	w.Abort()
	if alive, err := host.Alive(p); err != nil || alive {
		t.Errorf("got %t, %v of a process that ended", alive, err)
	}
}
