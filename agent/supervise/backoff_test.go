package supervise

import (
	"context"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestBackoffGrowsToItsBound(t *testing.T) {
	b := Backoff{}.withDefaults()
	cases := []struct {
		reason   string
		failures int
		chance   float64
		want     time.Duration
	}{
		{"a first start does not wait", 0, 0, 0},
		{"the first restart is as good as immediate", 1, 0, 100 * time.Millisecond},
		{"then it waits", 2, 0, 500 * time.Millisecond},
		{"twice as long", 3, 0, time.Second},
		{"and again", 5, 0, 4 * time.Second},
		{"up to a bound", 9, 0, 30 * time.Second},
		{"whatever the count", 100000, 0, 30 * time.Second},
		{"chance takes a fifth off at most", 9, 0.999999, 24 * time.Second},
	}
	for _, c := range cases {
		if got := b.delay(c.failures, c.chance).Round(time.Millisecond); got != c.want {
			t.Errorf("%s: delay(%d) = %s, want %s", c.reason, c.failures, got, c.want)
		}
	}
}

func TestRestartsFollowTheBackoff(t *testing.T) {
	b := newBench(t)
	clock := clocktesting.NewFakeClock(time.Now())
	b.opts.Clock, b.opts.Chance = clock, func() float64 { return 0 }
	b.opts.Backoff = Backoff{}
	s, end := b.start(b.shell("crasher", "exit 1"))
	for i, want := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		inBackoff := func() bool {
			got := status(s, "crasher")
			// The log rotation's ticker waits too.
			return got.State == fleetv1.ComponentBackOff && got.Restarts != nil && int(*got.Restarts) == i && clock.Waiters() == 2
		}
		eventually(t, "it waits to be started again", inBackoff)
		clock.Step(want - time.Millisecond)
		if !inBackoff() {
			t.Fatalf("restart %d came before %s", i+1, want)
		}
		clock.Step(time.Millisecond)
		eventually(t, "it was started again", func() bool { return int(*status(s, "crasher").Restarts) == i+1 })
	}
	end()
}

func TestBackoffIsForgottenAfterAWhileOfHealth(t *testing.T) {
	b := newBench(t)
	clock := clocktesting.NewFakeClock(time.Now())
	b.opts.Clock = clock
	b.opts.Backoff = Backoff{First: time.Millisecond}
	s, _ := b.start(b.sleeper("kubelet"))
	pid := runs(t, s, "kubelet")
	s.mu.Lock()
	s.units["kubelet"].record.Failures = 7
	s.mu.Unlock()
	clock.Step(31 * time.Second)
	h, err := openHandle(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := h.signal(9); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ended", func() bool { return status(s, "kubelet").State == fleetv1.ComponentBackOff })
	// The log rotation's ticker waits too.
	eventually(t, "the backoff waits on the clock", func() bool { return clock.Waiters() == 2 })
	clock.Step(time.Millisecond)
	eventually(t, "it was started again after the first delay", func() bool {
		got := status(s, "kubelet")
		return got.State == fleetv1.ComponentRunning && int(*got.PID) != pid
	})
	if err := s.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
}
