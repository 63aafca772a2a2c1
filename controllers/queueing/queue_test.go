package queueing

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// patience is how long a controller may take to end.
const patience = 10 * time.Second

func request(i int) reconcile.Request {
	r := reconcile.Request{}
	r.Name = strconv.Itoa(i)
	return r
}

// Whether the end comes at the wrong moment is a matter of luck, so it is tried often.
func TestAControllerEndsWhileItsQueueIsBusy(t *testing.T) {
	const workers, rounds = 20, 200
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var queue workqueue.TypedRateLimitingInterface[reconcile.Request]
		var looks atomic.Int64
		options := Options(workers)
		options.SkipNameValidation, options.Logger = ptr.To(true), logr.Discard()
		options.Reconciler = reconcile.Func(func(context.Context, ctrl.Request) (ctrl.Result, error) {
			n := looks.Add(1)
			if n == 10*workers {
				cancel()
			}
			queue.Add(request(workers + int(n))) // so there is always one for each worker, and no more
			return ctrl.Result{}, nil
		})
		c, err := controller.NewUnmanaged("busy", options)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Watch(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			queue = q
			for i := range workers {
				q.Add(request(i))
			}
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Start(ctx) }()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			cancel()
			t.Fatalf("the controller has not ended after %s and %d looks", patience, looks.Load())
		}
	}
}

func TestWhatWaitsAtTheEndIsLeft(t *testing.T) {
	q := New("test", workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Millisecond, time.Second))
	q.Add(request(1))
	q.Add(request(2))
	if item, shutdown := q.Get(); shutdown || item != request(1) {
		t.Fatalf("got %v, %t", item, shutdown)
	}
	q.ShutDown()
	if item, shutdown := q.Get(); !shutdown {
		t.Errorf("got %v after the end", item)
	}
}
