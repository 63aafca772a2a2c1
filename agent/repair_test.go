package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// endingProxy is an agent whose kube-proxy ends as soon as it is started.
func endingProxy(t *testing.T, dir string) *Agent {
	t.Helper()
	a, err := New(Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.supervise.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := a.supervise.StopAll(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *Agent) applyEnding(t *testing.T) {
	t.Helper()
	if err := a.supervise.Apply([]supervise.Process{{Name: v1alpha1.ComponentKubeProxy, Path: "/bin/sh", Args: []string{"-c", "exit 1"}}}); err != nil {
		t.Fatal(err)
	}
}

// endsWithin waits for kube-proxy to have ended so often.
func (a *Agent) endsWithin(t *testing.T, ends int, d time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(d); a.supervise.Failures(v1alpha1.ComponentKubeProxy) < ends; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it ended %d times within %s, want %d", a.supervise.Failures(v1alpha1.ComponentKubeProxy), d, ends)
		}
	}
}

func TestAKubeProxyThatWaitsIsStartedWhenTheAPIServerAnswersAgain(t *testing.T) {
	a := endingProxy(t, t.TempDir())
	a.applyEnding(t)
	a.endsWithin(t, 6, time.Minute)
	a.reporter.Answered()
	a.endsWithin(t, 7, 6*time.Second) // it would have waited 6.4 s at least
}

func TestAKubeProxyThatHadNoAnswerSinceItsStartBeginsAnewWhenTheAPIServerIsBack(t *testing.T) {
	for name, ready := range map[string]error{"it had none": errors.New("it has read no Services"), "it had one": nil} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a := endingProxy(t, dir)
			asked := make(chan struct{}, 1)
			idle := supervise.Process{
				Name: v1alpha1.ComponentKubeProxy, Path: "/bin/sleep", Args: []string{"600"},
				Ready: func(context.Context) error { wake(asked); return ready },
			}
			if err := a.supervise.Apply([]supervise.Process{idle}); err != nil {
				t.Fatal(err)
			}
			pid := func() int32 { return ptr.Deref(a.supervise.Status()[0].PID, 0) }
			until := func(what string, holds func() bool) {
				t.Helper()
				for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("never: %s; %+v", what, a.supervise.Status())
					}
				}
			}
			<-asked
			until("the answer is known", func() bool {
				return (ready == nil) == (a.supervise.Status()[0].State == v1alpha1.ComponentRunning) && (ready == nil) == (a.supervise.NotReady(v1alpha1.ComponentKubeProxy) == "")
			})
			before := pid()
			a.reporter.Answered()
			if ready == nil {
				data, err := os.ReadFile(filepath.Join(dir, "run", "processes", v1alpha1.ComponentKubeProxy+".json"))
				if err != nil || strings.Contains(string(data), `"replace"`) || pid() != before {
					t.Errorf("it was process %d and is %d: %s, %v", before, pid(), data, err)
				}
				return
			}
			until("it is another process", func() bool { return pid() != before && pid() != 0 })
			if got := ptr.Deref(a.supervise.Status()[0].Restarts, 0); got != 0 {
				t.Errorf("%d restarts were counted, of a process that did not fail", got)
			}
		})
	}
}

func TestWhatKubeProxyEndsForWhileTheAPIServerIsAwayIsNoRepair(t *testing.T) {
	for name, away := range map[string]bool{"away": true, "there": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a := endingProxy(t, dir)
			if away {
				api, err := kubeapi.New(&rest.Config{Host: "https://127.0.0.1:1"})
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				go func() { defer close(done); a.reporter.Run(t.Context(), api) }()
				t.Cleanup(func() { <-done })
				for deadline := time.Now().Add(10 * time.Second); !a.reporter.Unanswered(); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatal("nobody noticed that the API server is away")
					}
				}
			}
			a.applyEnding(t)
			a.endsWithin(t, 3, 20*time.Second)
			data, err := os.ReadFile(filepath.Join(dir, "run", "processes", v1alpha1.ComponentKubeProxy+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var record struct{ Repairs []any }
			if err := json.Unmarshal(data, &record); err != nil {
				t.Fatal(err)
			}
			if counted := len(record.Repairs) > 0; counted == away {
				t.Errorf("%d repairs are recorded", len(record.Repairs))
			}
		})
	}
}
