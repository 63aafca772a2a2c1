package apiserver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/test/apiserver"
)

// failed is a test that may fail, and tells what it said.
type failed struct {
	testing.TB
	said strings.Builder
}

func (f *failed) Helper() {}

func (f *failed) Errorf(format string, args ...any) { fmt.Fprintf(&f.said, format+"\n", args...) }

func (f *failed) Logf(format string, args ...any) { fmt.Fprintf(&f.said, format+"\n", args...) }

// theOneThatStays is named by a stack.
func theOneThatStays(running chan<- struct{}, until <-chan struct{}) error {
	close(running)
	<-until
	return nil
}

func TestAManagerThatDoesNotEndSaysWhatItWaitsFor(t *testing.T) {
	mgr, err := ctrl.NewManager(apiserver.Shared(t).Config, ctrl.Options{
		Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"}, GracefulShutdownTimeout: ptr.To(50 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	running, until := make(chan struct{}), make(chan struct{})
	defer close(until)
	if err := mgr.Add(manager.RunnableFunc(func(context.Context) error { return theOneThatStays(running, until) })); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	inner := &failed{TB: t}
	stop := apiserver.RunManager(ctx, inner, mgr, cancel)
	<-running
	stop()
	if said := inner.said.String(); !strings.Contains(said, "grace period") || !strings.Contains(said, "theOneThatStays") {
		t.Errorf("it says %.2000s", said)
	}
}
