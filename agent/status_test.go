package agent

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/report"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// effortless installs anything, and changes nothing by it.
type effortless struct{}

func (effortless) Settle(*generation.Generation) error { return nil }
func (effortless) Check(context.Context, *generation.Generation, *generation.Generation) error {
	return nil
}
func (effortless) Fetch(context.Context, *generation.Generation) error { return nil }
func (effortless) Plan(_ context.Context, g *generation.Generation) (generation.Change, error) {
	return generation.Change{Generation: g, Apply: func() error { return nil }}, nil
}
func (effortless) Look(context.Context, *generation.Generation)    {}
func (effortless) Flawed() bool                                    { return false }
func (effortless) Collect(context.Context, *generation.Generation) {}

// clockAt has an API server whose clock stands at a time, as a cluster's settings.
func clockAt(t *testing.T, at time.Time) v1alpha1.ClusterSettings {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return v1alpha1.ClusterSettings{Server: server.URL, ServerCA: string(ca)}
}

func TestTheProbesAreOfTheGenerationThatRunsAndTheServerThatAnswers(t *testing.T) {
	a, g := machine(t)
	a.bootstrap = &g.Bootstrap
	a.reporter = &report.Reporter{Node: "node-1", Log: logr.Discard(), Clock: clock.RealClock{}}
	a.installer.NewWork = func() generation.Work { return effortless{} }
	a.installer.Judge = func(context.Context) generation.Verdict { return generation.Verdict{Healthy: true} }
	a.installer.Changed = func() { wake(a.dirty) }
	g.Spec.Cluster = clockAt(t, time.Now().Add(-time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { a.installer.Run(ctx); ended <- struct{}{} }()
	go func() {
		if err := a.keepStatus(ctx); err != nil {
			t.Error(err)
		}
		ended <- struct{}{}
	}()
	defer func() { cancel(); <-ended; <-ended }()
	becomes := func(kind string, status metav1.ConditionStatus, reason string) {
		t.Helper()
		var got *metav1.Condition
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			a.reporter.Update(func(s *v1alpha1.NodeAgentStatus) {
				if c := meta.FindStatusCondition(s.Conditions, kind); c != nil {
					got = c.DeepCopy()
				}
			})
			if got != nil && got.Status == status && got.Reason == reason {
				return
			}
		}
		t.Fatalf("%s is %+v, want %s %s", kind, got, status, reason)
	}
	becomes(v1alpha1.ClockSynchronizedCondition, metav1.ConditionFalse, v1alpha1.ReasonClockSkewed)

	wanted := *g.Spec.DeepCopy()
	want := func(revision string, change func()) {
		t.Helper()
		change()
		wanted.Revision = revision
		a.installer.Want(&v1alpha1.NodeAgent{Spec: *wanted.DeepCopy()})
	}
	want("r2", func() { wanted.Network.Mode = v1alpha1.NetworkModeExternal })
	becomes(v1alpha1.NetworkHealthyCondition, metav1.ConditionTrue, v1alpha1.ReasonDisabled)
	want("r3", func() { wanted.Proxy.Mode = v1alpha1.ProxyModeNone })
	becomes(v1alpha1.ProxyHealthyCondition, metav1.ConditionTrue, v1alpha1.ReasonDisabled)
	if err := a.moveTo(t.Context(), serverOf(clockAt(t, time.Now()))); err != nil {
		t.Fatal(err)
	}
	becomes(v1alpha1.ClockSynchronizedCondition, metav1.ConditionTrue, v1alpha1.ReasonHealthy)
	want("r4", func() {
		wanted.Network.Mode, wanted.Proxy.Mode = v1alpha1.NetworkModeRoutes, v1alpha1.ProxyModeNFTables
	})
	becomes(v1alpha1.NetworkHealthyCondition, metav1.ConditionFalse, v1alpha1.ReasonStarting)
	becomes(v1alpha1.ProxyHealthyCondition, metav1.ConditionFalse, v1alpha1.ReasonStarting)
}
