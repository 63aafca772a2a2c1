package supervise

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const faceless = "DROVER_TEST_FACELESS"

// init makes this program, when it is started for it, a process that shows neither executable nor arguments, as a
// kernel thread does: its first thread ends and another lives on until standard input ends.
func init() {
	if os.Getenv(faceless) == "" {
		return
	}
	begun := make(chan struct{})
	go func() {
		close(begun)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	<-begun
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // of the first thread, which runs what is called init
}

func TestARecordedPIDThatShowsNothingIsLetGo(t *testing.T) {
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), faceless+"=1")
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := input.Close(); err != nil {
			t.Error(err)
		}
		_ = process.Wait()
	})
	pid := process.Process.Pid
	h, err := openHandle(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	eventually(t, "it shows no executable any more", func() bool { return !alive(pid) && h.startTime() != 0 })

	for _, c := range []struct {
		reason string
		start  uint64
		adopt  bool
	}{
		{"another process has the number by now", h.startTime() + 1, false},
		{"it is the same process, which must be stopped before there is another", h.startTime(), true},
	} {
		rec := record{Name: "kubelet", PID: pid, StartTime: c.start, Exe: "/bin/kubelet", Digest: "some", Running: true}
		found := make(chan *handle, 1)
		go func() { found <- rec.find() }()
		select {
		case got := <-found:
			if (got != nil) != c.adopt || (c.adopt && rec.Digest != "") {
				t.Errorf("%s: found %v with digest %q", c.reason, got, rec.Digest)
			}
			if got != nil {
				got.close()
			}
		case <-time.After(patience):
			t.Fatalf("%s: it is still being looked at after %s", c.reason, patience)
		}
	}
}
