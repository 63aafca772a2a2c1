package backoff

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

func TestWaits(t *testing.T) {
	for name, c := range map[string]struct {
		backoff wait.Backoff
		want    []time.Duration
	}{
		"doubling": {Doubling(time.Second, 5*time.Second), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}},
		"every":    {Every(time.Second), []time.Duration{time.Second, time.Second}},
	} {
		begun := c.backoff
		for i, want := range c.want {
			if got := begun.Step(); got < want || got > want+want/5 {
				t.Errorf("%s: wait %d is %s, want %s or up to a fifth more", name, i+1, got, want)
			}
		}
		if got := c.backoff.Duration; got != c.want[0] {
			t.Errorf("%s: a copy begins with %s", name, got)
		}
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	if err := Wait(t.Context(), time.Millisecond); err != nil {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
