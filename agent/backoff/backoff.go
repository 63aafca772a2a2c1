// Package backoff is how long the agent waits between two tries of what failed.
package backoff

import (
	"context"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// jitter is the share of a wait that chance may add, so that nodes that failed together do not come back together.
const jitter = 0.2

// Doubling waits for first, then twice as long each time, up to last; chance adds up to a fifth to each. A copy of it begins
// anew.
func Doubling(first, last time.Duration) wait.Backoff {
	return wait.Backoff{Duration: first, Factor: 2, Cap: last, Jitter: jitter, Steps: math.MaxInt32}
}

// Every waits for the same time, but for the fifth that chance may add.
func Every(d time.Duration) wait.Backoff { return wait.Backoff{Duration: d, Jitter: jitter} }

// Wait waits for a time. It returns the context's error when that ends first.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
