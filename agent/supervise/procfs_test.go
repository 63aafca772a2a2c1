package supervise

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/drover-dev/drover/test/limits"
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
	eventually(t, "it shows no executable any more", func() bool { start, _ := h.startTime(); return !alive(pid) && start != 0 })
	start, err := h.startTime()
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		reason string
		start  uint64
		adopt  bool
	}{
		{"another process has the number by now", start + 1, false},
		{"it is the same process, which must be stopped before there is another", start, true},
	} {
		rec := record{Name: "kubelet", PID: pid, StartTime: c.start, Exe: "/bin/kubelet", Digest: "some", Running: true}
		found := make(chan *handle, 1)
		go func() {
			h, err := rec.find()
			if err != nil {
				t.Error(err)
			}
			found <- h
		}()
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

func TestAProcessIsNotTakenForGoneForWantOfFiles(t *testing.T) {
	process := exec.Command("/bin/sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	pid := process.Process.Pid
	eventually(t, "it runs", func() bool { img, err := readImage(pid); return err == nil && len(img.argv) == 2 })
	img, err := readImage(pid)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]record{
		"by its number":     {Name: "containerd", PID: pid, StartTime: img.start, Exe: img.exe, Argv: img.argv, Running: true},
		"by what it runs":   {Name: "containerd", Exe: img.exe, Argv: img.argv, Running: true},
		"one that has gone": {Name: "containerd", PID: pid, StartTime: img.start + 1, Exe: img.exe, Argv: img.argv, Running: true},
	}
	for name, rec := range records {
		var h *handle
		limits.WithoutFiles(t, func() { h, err = rec.find() })
		if h != nil || !isExhausted(err) {
			t.Errorf("%s: found %v, %v without a file to look with, want the error", name, h, err)
		}
		if h, err = rec.find(); h == nil || err != nil {
			t.Errorf("%s: found %v, %v afterwards", name, h, err)
			continue
		}
		h.close()
	}
}
