package apiserver

import (
	"bytes"
	"context"
	"errors"
	"runtime/pprof"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// RunManager starts a manager, which ends with its context. What it returns cancels that and waits for the end; it is
// called when the test ends, and may be before. If the manager does not end in its grace period, the test's log has what
// goes on in the process.
func RunManager(ctx context.Context, tb testing.TB, mgr manager.Manager, cancel context.CancelFunc) (stop func()) {
	tb.Helper()
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		err := <-ended
		if err == nil {
			return
		}
		tb.Errorf("the manager ended with %v", err)
		if errors.Is(err, context.DeadlineExceeded) {
			tb.Logf("what it waited for is among these goroutines:\n%s", goroutines())
		}
	})
	tb.Cleanup(stop)
	return stop
}

// goroutines are all of this process, those with the same stack together.
func goroutines() string {
	var out bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&out, 1); err != nil {
		return err.Error()
	}
	return out.String()
}
