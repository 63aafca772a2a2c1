package supervise

import (
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// hangs has a process stopped, and restarted for that.
func hangs(t *testing.T, s *Supervisor, name string, inARow int) {
	t.Helper()
	pid := runs(t, s, name)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.RestartHung(name, int32(pid), inARow, "it did not answer")
	eventually(t, "another process runs", func() bool {
		got := status(s, name)
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != pid
	})
}

func TestAHangThatIsMendedIsAFailure(t *testing.T) {
	b := newBench(t)
	kubelet := b.sleeper("kubelet")
	kubelet.DependsOn = []string{"containerd"}
	s, end := b.start(b.sleeper("containerd"), kubelet)
	other := runs(t, s, "kubelet")
	began := time.Now()
	hangs(t, s, "containerd", 3)
	got := status(s, "containerd")
	if e := got.LastExit; e == nil || e.Signal == "" || e.Reason != fleetv1.ReasonHung || e.Message != "it did not answer" {
		t.Errorf("it ended with %+v, want that it hung", e)
	}
	if n := ptr.Deref(got.Restarts, 0); n != 1 || s.Failures("containerd") != 1 {
		t.Errorf("%d restarts and %d failures are counted, want one each", n, s.Failures("containerd"))
	}
	if pid := runs(t, s, "kubelet"); pid != other {
		t.Error("what depends on it was restarted as well")
	}
	if s.RestartHung("containerd", int32(other), 4, "it is another process's number"); s.units["containerd"].hung != nil {
		t.Error("the process is to be restarted for what another one did")
	}
	end()

	again, _ := b.start(b.sleeper("containerd")) // of another configuration, as each sleeper is
	if n, at := again.Hangs("containerd"); n != 3 || at.Before(began) {
		t.Errorf("a restarted agent knows of %d hangs in a row, the last at %s; want 3, since %s", n, at, began)
	}
	eventually(t, "what hung to be forgotten with its configuration", func() bool { n, _ := again.Hangs("containerd"); return n == 0 })
}

// The next process of the name must not be taken for the one that hung, nor its end for a hang.
func TestAnEndAfterAHangIsAnEndAgain(t *testing.T) {
	b := newBench(t)
	s, _ := b.start(b.sleeper("kubelet"))
	hangs(t, s, "kubelet", 1)
	pid := runs(t, s, "kubelet")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end is seen", func() bool { return ptr.Deref(status(s, "kubelet").Restarts, 0) == 2 })
	if e := status(s, "kubelet").LastExit; e.Reason != "" || e.Message != "" {
		t.Errorf("it ended with %+v, want no more than its signal", e)
	}
	if n, _ := s.Hangs("kubelet"); n != 1 {
		t.Errorf("it hung %d times, want once", n)
	}
}
