package agent

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// supervising has an agent's supervisor run a containerd that is a script, until the test has ended.
func supervising(t *testing.T, a *Agent, script string, ready error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.supervise.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		<-done
		if err := a.supervise.StopAll(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.supervise.Apply([]supervise.Process{{
		Name: v1alpha1.ComponentContainerd, Path: "/bin/sh", Args: []string{"-c", script}, LogFile: filepath.Join(a.paths.LogDir, "containerd.log"),
		StopTimeout: time.Second, Ready: func(context.Context) error { return ready },
	}}); err != nil {
		t.Fatal(err)
	}
}

// judged waits for a verdict.
func judged(t *testing.T, a *Agent, what string, is func(generation.Verdict) bool) generation.Verdict {
	t.Helper()
	var v generation.Verdict
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if v = a.judgeNode(t.Context()); is(v) {
			return v
		}
	}
	t.Fatalf("the verdict is %+v, want %s", v, what)
	return v
}

func TestANodeWithoutItsComponentsIsNotWell(t *testing.T) {
	a, _ := machine(t)
	if v := a.judgeNode(t.Context()); v.Healthy || v.Hopeless || v.Component != v1alpha1.ComponentContainerd || v.Reason != v1alpha1.ReasonStarting {
		t.Errorf("the verdict is %+v", v)
	}
}

func TestAComponentThatEndsAgainAndAgainIsHopeless(t *testing.T) {
	a, _ := machine(t)
	supervising(t, a, "echo unknown flag; exit 3", nil)
	v := judged(t, a, "that it is hopeless", func(v generation.Verdict) bool { return v.Hopeless })
	if v.Component != v1alpha1.ComponentContainerd || v.Reason != v1alpha1.ReasonExited || v.Exit == nil || *v.Exit.Code != 3 || !strings.Contains(v.Exit.LogTail, "unknown flag") {
		t.Errorf("the verdict is %+v", v)
	}
}

// A change may be what mends it.
func TestWhatEndedBeforeTheChangeIsNotItsFault(t *testing.T) {
	a, _ := machine(t)
	eager, err := supervise.New(supervise.Options{RunDir: a.opts.RunDir, Backoff: supervise.Backoff{Base: time.Millisecond, Max: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	a.supervise = eager
	supervising(t, a, "exit 3", nil)
	judged(t, a, "that it is hopeless", func(v generation.Verdict) bool { return v.Hopeless })
	w := &work{agent: a}
	a.begun.Store(w)
	w.countEnds([]supervise.Process{{Name: v1alpha1.ComponentContainerd}})
	before := w.ends[v1alpha1.ComponentContainerd]
	w.countEnds([]supervise.Process{{Name: v1alpha1.ComponentContainerd}}) // as when the Node's range comes
	judged(t, a, "that it is hopeless again", func(v generation.Verdict) bool { return v.Hopeless })
	if n := a.supervise.Failures(v1alpha1.ComponentContainerd); n < before+crashLoop {
		t.Errorf("it is hopeless after %d ends, of which %d were before", n, before)
	}
}

func TestAComponentThatIsNotReadySaysWhy(t *testing.T) {
	a, _ := machine(t)
	supervising(t, a, "exec sleep 600", context.DeadlineExceeded)
	judged(t, a, "the component's own words", func(v generation.Verdict) bool {
		return !v.Healthy && !v.Hopeless && v.Component == v1alpha1.ComponentContainerd && strings.Contains(v.Message, context.DeadlineExceeded.Error())
	})
}

func TestAComponentThatRunsIsAsked(t *testing.T) {
	a, _ := machine(t)
	supervising(t, a, "exec sleep 600", nil)
	judged(t, a, "that its socket does not answer", func(v generation.Verdict) bool {
		return !v.Healthy && v.Reason == v1alpha1.ReasonProbeFailed && strings.Contains(v.Message, "containerd does not answer")
	})
}

// A kube-proxy that is started while the API server is away does not come up, whatever is installed.
func TestWhatNeedsTheAPIServerIsJudgedWhileThatIsThere(t *testing.T) {
	a, _ := machine(t)
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	a.bootstrap = &node.Bootstrap{}
	a.bootstrap.Spec.Cluster.Server = server.URL
	a.bootstrap.Spec.Cluster.ServerCA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	refused := func(context.Context) error { return errors.New("connection refused") }
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, ask := range []func(context.Context) error{refused, hangs} {
		if v := a.verdict(t.Context(), []evidence{{component: "kube-proxy", remote: true, ask: ask}}); v.Healthy || v.Blind {
			t.Errorf("the verdict is %+v", v)
		}
	}
	server.Close()
	if v := a.verdict(t.Context(), []evidence{{component: "kube-proxy", remote: true, ask: refused}}); v.Healthy || !v.Blind {
		t.Errorf("with the API server away the verdict is %+v", v)
	}
	if v := a.verdict(t.Context(), []evidence{{component: "kubelet", ask: refused}, {component: "kube-proxy", remote: true, ask: refused}}); v.Healthy || v.Blind || v.Component != "kubelet" {
		t.Errorf("with the API server away and no kubelet the verdict is %+v", v)
	}
}

// What waits for the API server says nothing of the machine; a network that cannot be set up does.
func TestANetworkThatWaitsForTheAPIServerIsNotBroken(t *testing.T) {
	a, _ := machine(t)
	if err := verdictOf(a.networkHealthy)(t.Context()); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestWhatNoOtherStateWouldMendIsNoVerdict(t *testing.T) {
	for reason, want := range map[string]bool{
		v1alpha1.ReasonStarting: true, v1alpha1.ReasonPodCutOff: true, v1alpha1.ReasonProbeFailed: false, v1alpha1.ReasonExited: false,
	} {
		ask := verdictOf(func(context.Context) error { return &health.Failure{Reason: reason} })
		if err := ask(t.Context()); (err == nil) != want {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}
