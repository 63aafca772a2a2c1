package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestKilledProcessIsReportedAndStartedAgain(t *testing.T) {
	b := newBench(t)
	s, _ := b.start(b.shell("kubelet", "echo token=abcdef.0123456789abcdef; "+sleepForever))
	changed := s.Changed()
	pid := runs(t, s, "kubelet")
	eventually(t, "the script has become sleep", func() bool {
		img, err := readImage(pid)
		return err == nil && strings.HasSuffix(img.argv[0], "sleep")
	})
	for len(changed) > 0 {
		<-changed
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	<-changed
	if took := time.Since(killed); took > time.Second {
		t.Errorf("noticed the end after %s, want at most a second", took)
	}
	eventually(t, "another process runs", func() bool {
		got := status(s, "kubelet")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != pid
	})
	if took := time.Since(killed); took > 2*time.Second {
		t.Errorf("ran again after %s, want at most two seconds", took)
	}
	got := status(s, "kubelet")
	if got.LastExit == nil || got.LastExit.Signal != "SIGKILL" || got.LastExit.Code != nil {
		t.Errorf("last exit is %+v, want SIGKILL and no code", got.LastExit)
	}
	if got.Restarts == nil || *got.Restarts != 1 {
		t.Errorf("restarts are %v, want 1", got.Restarts)
	}
	if got.LastExit.LogTail != "token=[redacted]" {
		t.Errorf("log tail is %q, want the redacted line", got.LastExit.LogTail)
	}
}

func TestExitCodeIsReported(t *testing.T) {
	b := newBench(t)
	flag := filepath.Join(b.dir, "flag")
	s, _ := b.start(b.shell("once", "test -e "+flag+" && exec sleep 1000; touch "+flag+"; echo broken; exit 7"))
	runs(t, s, "once")
	eventually(t, "the process was started again", func() bool { return *status(s, "once").Restarts == 1 })
	exit := status(s, "once").LastExit
	if exit == nil || exit.Code == nil || *exit.Code != 7 || exit.LogTail != "broken" {
		t.Errorf("last exit is %+v, want code 7 and the log", exit)
	}
}

func TestProcessThatCannotStartSaysWhy(t *testing.T) {
	b := newBench(t)
	b.opts.Backoff.First = time.Hour
	s, _ := b.start(Process{Name: "absent", Path: "/does/not/exist", LogFile: filepath.Join(b.dir, "log")})
	eventually(t, "the failure is in the status", func() bool {
		got := status(s, "absent")
		return got.State == fleetv1.ComponentBackOff && got.LastExit != nil && strings.Contains(got.LastExit.LogTail, "no such file")
	})
}

func TestRestartedSupervisorAdopts(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("containerd")
	first, end := b.start(process)
	pid := runs(t, first, "containerd")
	end()
	if !alive(pid) {
		t.Fatal("the process did not survive its supervisor")
	}
	second, _ := b.start(process)
	if adopted := runs(t, second, "containerd"); adopted != pid {
		t.Errorf("process %d runs, want %d adopted", adopted, pid)
	}
	if restarts := *status(second, "containerd").Restarts; restarts != 0 {
		t.Errorf("an adoption counts as %d restarts", restarts)
	}
}

func TestAdoptionWhenTheRecordHasNoPIDYet(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("containerd")
	first, end := b.start(process)
	pid := runs(t, first, "containerd")
	end()
	rec := first.units["containerd"].record
	rec.PID, rec.StartTime, rec.Exe = 0, 0, process.Path
	if err := first.store.write(rec); err != nil {
		t.Fatal(err)
	}
	second, _ := b.start(process)
	if adopted := runs(t, second, "containerd"); adopted != pid {
		t.Errorf("process %d runs, want %d found by its arguments", adopted, pid)
	}
}

// A program's path may lead to another directory by the time that the next agent looks for the process.
func TestAProcessIsFoundThoughTheLinkThatItWasStartedByLeadsElsewhere(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("containerd")
	link := filepath.Join(b.dir, "current")
	if err := os.Symlink(filepath.Dir(process.Path), link); err != nil {
		t.Fatal(err)
	}
	process.Path = filepath.Join(link, "sleep")
	first, end := b.start(process)
	pid := runs(t, first, "containerd")
	end()
	begun := first.units["containerd"].record
	begun.PID, begun.StartTime, begun.Exe = 0, 0, process.executable() // as it is written before the start
	if err := errors.Join(os.Remove(link), os.Symlink(b.dir, link), first.store.write(begun)); err != nil {
		t.Fatal(err)
	}
	second, err := New(b.opts)
	if err != nil {
		t.Fatal(err)
	}
	found := second.records["containerd"]
	h, err := found.find()
	if err != nil || h == nil || h.pid != pid {
		t.Fatalf("found %+v (%v), want process %d", h, err, pid)
	}
	h.close()
}

func TestWhatWasStartedIsKnownByTheNextSupervisor(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("containerd")
	first, end := b.start(process)
	runs(t, first, "containerd")
	end()
	second, err := New(b.opts)
	if err != nil {
		t.Fatal(err)
	}
	other := process
	other.ConfigDigest = "other"
	for _, s := range []*Supervisor{first, second} {
		if !s.Has(process) || s.Has(other) || s.Has(b.sleeper("kubelet")) {
			t.Errorf("has the process: %v, another of its name: %v, one that never was: %v", s.Has(process), s.Has(other), s.Has(b.sleeper("kubelet")))
		}
	}
}

func TestAProcessWhoseRestartWasNotRecordedIsAdopted(t *testing.T) {
	for name, running := range map[string]bool{"nor its end": true, "but its end": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			process := b.sleeper("containerd")
			first, end := b.start(process)
			before := runs(t, first, "containerd")
			stale, err := first.store.load()
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			var pid int
			eventually(t, "it runs again", func() bool {
				got := status(first, "containerd")
				if got.State == fleetv1.ComponentRunning && got.PID != nil {
					pid = int(*got.PID)
				}
				return pid != 0 && pid != before
			})
			end()
			rec := stale["containerd"]
			rec.Running = running
			if err := first.store.write(rec); err != nil { // as if no later one had found room
				t.Fatal(err)
			}
			second, _ := b.start(process)
			if adopted := runs(t, second, "containerd"); adopted != pid {
				t.Errorf("process %d runs beside %d, want that one adopted", adopted, pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}

func TestProcessThatRunsSomethingElseByNowIsReplaced(t *testing.T) {
	b := newBench(t)
	process := b.shell("kubelet", sleepForever)
	first, end := b.start(process)
	pid := runs(t, first, "kubelet")
	eventually(t, "the shell has become sleep", func() bool {
		img, err := readImage(pid)
		return err == nil && img.argv[0] == "sleep"
	})
	end()
	second, _ := b.start(process)
	eventually(t, "another process runs", func() bool {
		got := status(second, "kubelet")
		return got.State == fleetv1.ComponentRunning && int(*got.PID) != pid
	})
	if alive(pid) {
		t.Error("the old process still runs")
	}
}

func TestRecordOfAnotherProcessIsNotAdopted(t *testing.T) {
	b := newBench(t)
	first, end := b.start(b.sleeper("kubelet"))
	pid := runs(t, first, "kubelet")
	end()
	process := b.sleeper("kubelet")
	rec := first.units["kubelet"].record
	rec.StartTime++ // as if the PID had been given to another process
	rec.Argv, rec.Digest = process.argv(), process.Digest()
	if err := first.store.write(rec); err != nil {
		t.Fatal(err)
	}
	second, _ := b.start(process)
	if other := runs(t, second, "kubelet"); other == pid {
		t.Error("adopted a process with another start time")
	}
	if !alive(pid) {
		t.Error("stopped a process that is not ours")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = syscall.Wait4(pid, nil, 0, nil)
}

func TestChangeRestartsOnlyWhatDiffers(t *testing.T) {
	b := newBench(t)
	one, two := b.sleeper("one"), b.sleeper("two")
	s, _ := b.start(one, two)
	pidOne, pidTwo := runs(t, s, "one"), runs(t, s, "two")

	two.ConfigDigest = "other"
	if err := s.Apply([]Process{one, two}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two was replaced", func() bool {
		got := status(s, "two")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != pidTwo
	})
	if got := runs(t, s, "one"); got != pidOne {
		t.Errorf("one was replaced too: %d, was %d", got, pidOne)
	}
	if alive(pidTwo) {
		t.Error("the old process of two still runs")
	}
	if got := status(s, "two"); *got.Restarts != 0 || got.LastExit != nil {
		t.Errorf("a wanted restart counts as a failure: %+v", got)
	}

	if err := s.Apply([]Process{one}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two is forgotten", func() bool { return status(s, "two").Name == "" })
	eventually(t, "its record is gone", func() bool {
		_, err := os.Stat(s.store.path("two"))
		return errors.Is(err, os.ErrNotExist)
	})
}

func TestAStartIsPreparedWhenTheProcessBeforeHasEnded(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("kubelet")
	var before atomic.Int64
	var found, prepared atomic.Int64
	process.Prepare = func() error {
		prepared.Add(1)
		if pid := int(before.Load()); pid != 0 && alive(pid) {
			found.Store(int64(pid))
		}
		return errors.New("which keeps no process from being started")
	}
	s, _ := b.start(process)
	before.Store(int64(runs(t, s, "kubelet")))
	process.ConfigDigest = "other"
	if err := s.Apply([]Process{process}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was replaced", func() bool {
		got := status(s, "kubelet")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int64(*got.PID) != before.Load()
	})
	if prepared.Load() != 2 || found.Load() != 0 {
		t.Errorf("prepared %d times, want 2; process %d still ran then, want none", prepared.Load(), found.Load())
	}
}

func TestAProcessThatIsRestartedHasNotFailed(t *testing.T) {
	b := newBench(t)
	var log logLines
	b.opts.Log = log.logger()
	s, _ := b.start(b.sleeper("one"))
	pid := runs(t, s, "one")
	s.Restart("one", "its Node is gone")
	s.Restart("none", "nobody knows it")
	eventually(t, "it was replaced", func() bool {
		got := status(s, "one")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != pid
	})
	if got := status(s, "one"); *got.Restarts != 0 || got.LastExit != nil || !log.have("its Node is gone") {
		t.Errorf("it counts as a failure, or nobody knows why it was done: %+v", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units["one"].outdatedLocked() {
		t.Error("it is replaced again and again")
	}
}

// It may end between the two.
// An agent may be killed while the process that it is to replace still ends, or before it has looked after it at all.
func TestARestartIsMadeByTheNextSupervisor(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("one")
	first, end := b.start(process)
	pid := runs(t, first, "one")
	end()
	second, err := New(b.opts)
	if err != nil {
		t.Fatal(err)
	}
	second.Restart("one", "it read another file")
	third, _ := b.start(process)
	eventually(t, "it was replaced", func() bool {
		got := status(third, "one")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != pid
	})
	again := runs(t, third, "one")
	if err := third.Apply([]Process{process}); err != nil {
		t.Fatal(err)
	}
	if got := runs(t, third, "one"); got != again {
		t.Error("it is replaced time and again")
	}
}

func TestAProcessThatEndsBeforeItIsRestartedIsStartedOnce(t *testing.T) {
	b := newBench(t)
	var log logLines
	b.opts.Log = log.logger()
	s, _ := b.start(b.sleeper("one"))
	pid := runs(t, s, "one")
	s.mu.Lock()
	s.units["one"].record.Running, s.units["one"].record.Replace = false, "its Node is gone" // as it is when it has just been seen to end
	s.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs again", func() bool {
		got := status(s, "one")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != pid
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units["one"].outdatedLocked() || log.have("Stopped a process") {
		t.Error("what was started in its place is replaced as well")
	}
}

func TestTheEndsOfAnotherConfigurationDoNotCount(t *testing.T) {
	b := newBench(t)
	s, err := New(b.opts)
	if err != nil {
		t.Fatal(err)
	}
	before, after := b.sleeper("one"), b.sleeper("one")
	if err := s.Apply([]Process{before}); err != nil {
		t.Fatal(err)
	}
	s.units["one"].record.Failures, s.units["one"].record.Digest = 7, before.Digest()
	if got := s.Failures("one"); got != 7 {
		t.Errorf("it ended %d times", got)
	}
	if err := s.Apply([]Process{after}); err != nil {
		t.Fatal(err)
	}
	if got := s.Failures("one"); got != 0 {
		t.Errorf("with another configuration it ended %d times", got)
	}
}

func TestProcessNoLongerWantedByTheNextSupervisorIsStopped(t *testing.T) {
	b := newBench(t)
	keep, drop := b.sleeper("keep"), b.sleeper("drop")
	first, end := b.start(keep, drop)
	pid := runs(t, first, "drop")
	runs(t, first, "keep")
	end()
	second, _ := b.start(keep)
	runs(t, second, "keep")
	eventually(t, "the dropped process ended", func() bool { return !alive(pid) })
}

func TestDependencyOrderOfStartAndStop(t *testing.T) {
	b := newBench(t)
	order := filepath.Join(b.dir, "order")
	traced := func(name string, on ...string) Process {
		p := b.shell(name, "trap 'echo stop-"+name+" >> "+order+"; exit 0' TERM; echo start-"+name+" >> "+order+"; while :; do sleep 0.02; done")
		p.DependsOn = on
		return p
	}
	socket := filepath.Join(b.dir, "socket")
	runtime := traced("containerd")
	runtime.Ready = func(context.Context) error { _, err := os.Stat(socket); return err }
	s, _ := b.start(traced("kubelet", "containerd"), runtime)
	eventually(t, "containerd has started", func() bool { return read(order) == "start-containerd\n" })
	if got := status(s, "kubelet").State; got != fleetv1.ComponentWaiting {
		t.Errorf("kubelet is %s before containerd is ready, want Waiting", got)
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kubelet, containerd := runs(t, s, "kubelet"), runs(t, s, "containerd")
	eventually(t, "kubelet has started", func() bool { return strings.HasSuffix(read(order), "start-kubelet\n") })

	if err := syscall.Kill(containerd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd runs again", func() bool {
		got := status(s, "containerd")
		return got.State == fleetv1.ComponentRunning && int(*got.PID) != containerd
	})
	if got := runs(t, s, "kubelet"); got != kubelet {
		t.Error("kubelet was restarted because containerd was")
	}
	eventually(t, "containerd traps again", func() bool { return strings.Count(read(order), "start-containerd") == 2 })

	if err := s.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := read(order); !strings.HasSuffix(got, "stop-kubelet\nstop-containerd\n") {
		t.Errorf("stopped in the wrong order:\n%s", got)
	}
	if err := s.Apply(nil); !errors.Is(err, ErrStopped) {
		t.Errorf("Apply after StopAll returned %v, want ErrStopped", err)
	}
}

// A kubelet that starts while the old containerd still ends would be connected to that one.
func TestWhatIsReplacedTogetherIsStoppedAndStartedInOrder(t *testing.T) {
	b := newBench(t)
	order := filepath.Join(b.dir, "order")
	traced := func(name, stopping string, on ...string) Process {
		p := b.shell(name, "trap 'sleep "+stopping+"; echo stop-"+name+" >> "+order+"; exit 0' TERM; echo start-"+name+" >> "+order+"; while :; do sleep 0.02; done")
		p.DependsOn = on
		return p
	}
	runtime, kubelet, other := traced("containerd", "0.3"), traced("kubelet", "0.3", "containerd"), traced("other", "0", "containerd")
	runtime.Ready = func(context.Context) error {
		if !strings.Contains(read(order), "start-containerd") {
			return errors.New("it has not begun yet")
		}
		return nil
	}
	s, _ := b.start(kubelet, runtime, other)
	for _, name := range []string{"containerd", "kubelet", "other"} {
		runs(t, s, name)
		eventually(t, name+" traps", func() bool { return strings.Contains(read(order), "start-"+name) })
	}
	if err := os.Remove(order); err != nil {
		t.Fatal(err)
	}
	pid := runs(t, s, "other")
	runtime.ConfigDigest, kubelet.ConfigDigest = "new", "new"
	if err := s.Apply([]Process{kubelet, runtime, other}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are replaced", func() bool { return strings.Contains(read(order), "start-kubelet") })
	if got, want := read(order), "stop-kubelet\nstop-containerd\nstart-containerd\nstart-kubelet\n"; got != want {
		t.Errorf("the order is\n%swant\n%s", got, want)
	}
	if now := runs(t, s, "other"); now != pid {
		t.Error("what did not change was restarted with what it depends on")
	}
}

func TestAProcessLetsThoseItComesAfterGoFirst(t *testing.T) {
	b := newBench(t)
	socket := filepath.Join(b.dir, "socket")
	kubelet := b.shell("kubelet", "while :; do sleep 0.02; done")
	kubelet.Ready = func(context.Context) error { _, err := os.Stat(socket); return err }
	proxy := b.shell("kube-proxy", "while :; do sleep 0.02; done")
	proxy.After = []string{"kubelet", "unwanted"}
	s, _ := b.start(proxy, kubelet)
	eventually(t, "the kubelet has started", func() bool { return status(s, "kubelet").State == fleetv1.ComponentStarting })
	if got := status(s, "kube-proxy").State; got != fleetv1.ComponentWaiting {
		t.Errorf("kube-proxy is %s before the kubelet is ready, want Waiting", got)
	}
	runs(t, s, "kube-proxy") // the kubelet never gets ready, and patience ends
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, s, "kubelet")
}

func TestProcessThatIsNotReadySaysWhyAndGetsItsTime(t *testing.T) {
	b := newBench(t)
	var lines logLines
	b.opts.Log = lines.logger()
	answers := make(chan error)
	p := b.sleeper("containerd")
	p.ReadyTimeout = time.Hour
	p.Ready = func(ctx context.Context) error {
		if deadline, _ := ctx.Deadline(); time.Until(deadline) < time.Minute {
			return fmt.Errorf("%s is too short a time", time.Until(deadline))
		}
		select {
		case err := <-answers:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s, _ := b.start(p)
	for _, want := range []string{"no socket", "no space left"} {
		eventually(t, "it says why: "+want, func() bool {
			answers <- errors.New(want)
			return s.NotReady("containerd") == want && lines.have(want)
		})
	}
	if n := lines.count("no space left"); n != 1 {
		t.Errorf("the same cause is in the log %d times, want once", n)
	}
	close(answers)
	runs(t, s, "containerd")
	if got := s.NotReady("containerd"); got != "" {
		t.Errorf("ready, and still %q", got)
	}
}

func TestProcessThatIgnoresSIGTERMIsKilled(t *testing.T) {
	b := newBench(t)
	process := b.shell("stubborn", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
	process.StopTimeout = 50 * time.Millisecond
	s, _ := b.start(process)
	pid := runs(t, s, "stubborn")
	eventually(t, "it ignores SIGTERM", func() bool { return read(process.LogFile) != "" })
	if err := s.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the process still runs")
	}
}

func TestApplyRefusesWhatMakesNoSense(t *testing.T) {
	cases := []struct {
		reason    string
		processes []Process
	}{
		{"a name becomes a file name", []Process{{Name: "a/b", Path: "/x"}}},
		{"a name is unique", []Process{{Name: "a", Path: "/x"}, {Name: "a", Path: "/y"}}},
		{"a path is absolute", []Process{{Name: "a", Path: "x"}}},
		{"a dependency is given", []Process{{Name: "a", Path: "/x", DependsOn: []string{"b"}}}},
		{"there is no circle", []Process{{Name: "a", Path: "/x", DependsOn: []string{"b"}}, {Name: "b", Path: "/x", DependsOn: []string{"a"}}}},
	}
	for _, c := range cases {
		s, err := New(Options{RunDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(c.processes); err == nil {
			t.Errorf("%s: accepted %+v", c.reason, c.processes)
		}
	}
}

func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

func TestAProcessIsStartedWithoutACgroupThatCannotBe(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "no", "such")} {
		if cgroup := openCgroup(dir); cgroup != nil {
			t.Errorf("%q was opened", dir)
		}
	}
}
