package supervise

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// grandchild starts a process that is not our child, and whose parent reaps it at once.
func grandchild(t *testing.T, script string) *handle {
	t.Helper()
	parent := exec.Command("/bin/sh", "-c", "("+script+") <&3 & echo $!; wait")
	stdin, err := parent.StdinPipe() // held open as the grandchild's cue
	if err != nil {
		t.Fatal(err)
	}
	parent.Args[2] = "exec 3<&0; " + parent.Args[2]
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHandle(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.close()
		if err := parent.Wait(); err != nil {
			t.Error(err)
		}
	})
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestExitOfAnAdoptedProcess(t *testing.T) {
	cases := []struct {
		reason string
		script string
		code   int32
		signal string
	}{
		{"an exit code reaches us although another process reaps", "cat; exit 42", 42, ""},
		{"so does a signal", "cat; kill -9 $(exec sh -c 'echo $PPID')", -1, "SIGKILL"},
	}
	for _, c := range cases {
		h := grandchild(t, c.script)
		if err := h.wait(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.reason, err)
		}
		exit := exitOf(h)
		if exit.Code == nil && exit.Signal == "" {
			if kernelTellsExits(t) {
				t.Errorf("%s: the exit is unknown", c.reason)
			}
			continue
		}
		if exit.Signal != c.signal || (c.code >= 0 && (exit.Code == nil || *exit.Code != c.code)) {
			t.Errorf("%s: got %+v, want code %d signal %q", c.reason, exit, c.code, c.signal)
		}
	}
}

// kernelTellsExits says whether this kernel has PIDFD_INFO_EXIT (Linux 6.15).
func kernelTellsExits(t *testing.T) bool {
	t.Helper()
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var release strings.Builder
	for _, c := range name.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	parts := strings.SplitN(release.String(), ".", 3)
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return major > 6 || (major == 6 && minor >= 15)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	h, _, err := spawn(&Process{Name: "sleep", Path: "/bin/sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait returned %v, want the deadline", err)
	}
	if err := stopProcess(t.Context(), h, time.Second); err != nil {
		t.Error(err)
	}
	if err := h.wait(t.Context()); err != nil {
		t.Errorf("waiting for a process that has ended returned %v", err)
	}
	if err := h.signal(syscall.SIGTERM); err != nil {
		t.Errorf("signalling a process that has ended returned %v", err)
	}
}

// endsAfterALook is a context that ends between a first look at it and the second.
type endsAfterALook struct {
	context.Context
	looked bool
}

func (c *endsAfterALook) Err() error {
	if !c.looked {
		c.looked = true
		return nil
	}
	return c.Context.Err()
}

func TestAWaitLeavesNoDeadlineBehind(t *testing.T) {
	h, _, err := spawn(&Process{Name: "sleep", Path: "/bin/sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = h.signal(syscall.SIGKILL)
		h.exitStatus()
		h.close()
	}()
	for range 500 {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.wait(ended); !errors.Is(err, context.Canceled) {
			t.Fatalf("a wait without time returned %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := h.wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the next wait returned %v, want its own deadline: a process that is being stopped would be killed at once", err)
		}
		cancel()
	}
	if err := h.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		ending, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.wait(&endsAfterALook{Context: ending}); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if err := h.wait(t.Context()); err != nil {
			t.Fatalf("the wait after the last one was cut short returned %v", err)
		}
	}
}
