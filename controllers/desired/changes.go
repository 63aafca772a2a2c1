package desired

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// defaultEvery is how often the facts of the cluster are looked at.
const defaultEvery = 30 * time.Second

// Changes has a controller look at what is affected when a fact of the cluster is another one than before, and once when it
// starts. No event tells of that: some are flags and files. They are looked at after each interval; zero stands for 30 seconds.
func Changes(facts Facts, every time.Duration, affected func(context.Context) ([]reconcile.Request, error)) source.Source {
	if every == 0 {
		every = defaultEvery
	}
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			w := &watcher{facts: facts, affected: affected}
			for {
				w.look(ctx, queue.Add)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		}()
		return nil
	})
}

type watcher struct {
	facts    Facts
	affected func(context.Context) ([]reconcile.Request, error)
	// last is the hash of the facts that all were told to look for, and failure why there are none since.
	last, failure string
}

func (w *watcher) look(ctx context.Context, add func(reconcile.Request)) {
	facts, err := w.facts.Discover(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if w.failure != err.Error() {
			ctrl.LoggerFrom(ctx).Error(err, "Could not find out the facts of the cluster: nodes keep those that they have")
		}
		w.failure = err.Error()
		return
	}
	w.failure = ""
	hash := facts.Hash()
	if hash == w.last {
		return
	}
	requests, err := w.affected(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not find out whom other facts of the cluster concern")
		return
	}
	for _, request := range requests {
		add(request)
	}
	w.last = hash
}
