package health

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/supervise"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// answeringAt names the file that a process of this test's own program, which answers what it is asked, writes its address to.
const answeringAt = "HEALTH_TEST_ANSWERING_AT"

func TestMain(m *testing.M) {
	if file := os.Getenv(answeringAt); file != "" {
		os.Exit(answer(file))
	}
	os.Exit(m.Run())
}

func answer(file string) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	if err := errors.Join(os.WriteFile(file+".new", []byte("http://"+l.Addr().String()), 0o600), os.Rename(file+".new", file)); err != nil {
		return 1
	}
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	_ = server.Serve(l)
	return 0
}

// hanging is a supervisor with one process that answers, beside which a monitor runs that tolerates little.
type hanging struct {
	*supervise.Supervisor
	t *testing.T
}

func newHanging(t *testing.T) *hanging {
	t.Helper()
	dir := t.TempDir()
	s, err := supervise.New(supervise.Options{RunDir: dir, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "address")
	ask := func(how func(context.Context, string) error) func(context.Context) error {
		return func(ctx context.Context) error {
			url, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return how(ctx, string(url))
		}
	}
	if err := s.Apply([]supervise.Process{{
		Name: fleetv1.ComponentKubelet, Path: program, Args: []string{file}, Env: []string{answeringAt + "=" + file},
		LogFile: filepath.Join(dir, "log"), StopTimeout: 100 * time.Millisecond, Ready: ask(KubeletAnswers), ReadyTimeout: time.Second,
	}}); err != nil {
		t.Fatal(err)
	}
	m := New(s, testr.New(t))
	m.SetProbes(Probe{
		Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, Check: ask(KubeletAnswers), Alive: ask(HTTPAlive),
		Every: 50 * time.Millisecond, RetryEvery: 50 * time.Millisecond, Timeout: time.Second, Tolerance: 2 * time.Second,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done, s.StopAll(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return &hanging{s, t}
}

// becomes waits for the process to be as it should.
func (h *hanging) becomes(what string, is func(fleetv1.ComponentStatus) bool) fleetv1.ComponentStatus {
	h.t.Helper()
	var got []fleetv1.ComponentStatus
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = h.Status(); len(got) == 1 && is(got[0]) {
			return got[0]
		}
	}
	h.t.Fatalf("waited in vain for %s: it is %+v", what, got)
	return fleetv1.ComponentStatus{}
}

func running(c fleetv1.ComponentStatus) bool {
	return c.State == fleetv1.ComponentRunning && c.PID != nil
}

func TestAProcessThatIsStoppedIsRestarted(t *testing.T) {
	h := newHanging(t)
	for times := int32(1); times <= 2; times++ {
		pid := *h.becomes("the process to run", running).PID
		if err := syscall.Kill(int(pid), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped := time.Now()
		got := h.becomes("another process", func(c fleetv1.ComponentStatus) bool { return running(c) && *c.PID != pid })
		if took, least := time.Since(stopped), 2*time.Duration(times)*time.Second; took < least {
			t.Errorf("it was restarted after %s, though %s are tolerated, time %d", took, least, times)
		}
		if n := ptr.Deref(got.Restarts, 0); n != times {
			t.Errorf("%d restarts are counted, want %d", n, times)
		}
		if e := got.LastExit; e == nil || e.Reason != fleetv1.ReasonHung || e.Signal != "SIGKILL" || !strings.HasPrefix(e.Message, "kubelet did not answer for ") {
			t.Errorf("it ended with %+v, want that it hung", e)
		}
		if inARow, _ := h.Hangs(fleetv1.ComponentKubelet); inARow != int(times) {
			t.Errorf("it hung %d times in a row, want %d", inARow, times)
		}
	}
}
