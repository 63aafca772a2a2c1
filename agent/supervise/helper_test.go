package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/go-logr/logr/testr"
	"k8s.io/utils/clock"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited %s in vain: %s", patience, what)
}

// bench is a run directory that supervisors come and go in; nothing started in it outlives the test.
type bench struct {
	t    *testing.T
	dir  string
	opts Options
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	b.opts = Options{RunDir: filepath.Join(b.dir, "run"), Clock: clock.RealClock{}, Log: testr.New(t), Backoff: Backoff{First: time.Millisecond}}
	return b
}

// start makes a supervisor and runs it. Calling the function it returns ends it and leaves its processes running.
func (b *bench) start(processes ...Process) (*Supervisor, func()) {
	b.t.Helper()
	s, err := New(b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := s.Apply(processes); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
	b.t.Cleanup(func() {
		end()
		if err := s.StopAll(context.Background()); err != nil {
			b.t.Error(err)
		}
	})
	return s, end
}

// shell is a process that runs a script.
func (b *bench) shell(name, script string) Process {
	return Process{
		Name: name, Path: "/bin/sh", Args: []string{"-c", script, b.dir},
		Env:     []string{"PATH=" + os.Getenv("PATH")},
		LogFile: filepath.Join(b.dir, name+".log"), StopTimeout: 5 * time.Second,
	}
}

// sleeper is a process that has no children, and arguments that no other test's process has.
func (b *bench) sleeper(name string) Process {
	return Process{
		Name: name, Path: "/bin/sleep", Args: []string{fmt.Sprintf("1000.%d%d", os.Getpid(), sleepers.Add(1))},
		LogFile: filepath.Join(b.dir, name+".log"), StopTimeout: 5 * time.Second,
	}
}

var sleepers atomic.Int64

const sleepForever = "exec sleep 1000"

func status(s *Supervisor, name string) fleetv1.ComponentStatus {
	for _, status := range s.Status() {
		if status.Name == name {
			return status
		}
	}
	return fleetv1.ComponentStatus{}
}

// runs waits until a process is ready and returns its PID.
func runs(t *testing.T, s *Supervisor, name string) int {
	t.Helper()
	var got fleetv1.ComponentStatus
	eventually(t, name+" runs", func() bool {
		got = status(s, name)
		return got.State == fleetv1.ComponentRunning && got.PID != nil
	})
	return int(*got.PID)
}

// logLines are what was logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
	}, funcr.Options{})
}

func (l *logLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func (l *logLines) have(part string) bool { return l.count(part) > 0 }

func alive(pid int) bool {
	_, err := readImage(pid)
	return err == nil
}
