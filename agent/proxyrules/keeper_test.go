package proxyrules

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netns"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/netevents"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// bench is a keeper with a clock, and a kube-proxy that writes its rules a second after it was restarted.
type bench struct {
	started time.Time // of the kube-proxy, long ago if it is zero
	*Keeper
	clock    *clocktesting.FakeClock
	missing  string
	failure  error
	stopped  bool
	unsynced bool
	restarts []time.Duration // since the beginning
	changes  int
}

func newBench() *bench {
	start := time.Unix(1_800_000_000, 0)
	b := &bench{clock: clocktesting.NewFakeClock(start)}
	b.Keeper = &Keeper{
		Missing: func(context.Context) (string, error) { return b.missing, b.failure },
		Runs:    func() bool { return !b.stopped },
		Started: func() time.Time { return b.started },
		Wrote:   func(context.Context) (bool, error) { return !b.unsynced, nil },
		Restart: func(string) { b.restarts = append(b.restarts, b.clock.Since(start)) },
		Changed: func() { b.changes++ },
		Clock:   b.clock, Log: logr.Discard(),
	}
	return b
}

// pass looks as often as the keeper wants to for a while, with kube-proxy writing its rules a second after a restart.
func (b *bench) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end := b.clock.Now().Add(d); b.clock.Now().Before(end); {
		before := len(b.restarts)
		wait := b.look(t.Context())
		if len(b.restarts) > before {
			b.missing, wait = "", time.Second
		}
		b.clock.Step(min(wait, end.Sub(b.clock.Now())))
	}
}

const table = "the nftables table ip kube-proxy"

func TestAKubeProxyWithoutItsRulesIsRestartedAtOnce(t *testing.T) {
	b := newBench()
	b.pass(t, time.Minute)
	if len(b.restarts) > 0 || b.Failure() != nil || len(b.Findings()) > 0 {
		t.Fatalf("restarted %v, %v, found %v, with nothing wrong", b.restarts, b.Failure(), b.Findings())
	}
	b.missing = table
	again := b.look(t.Context())
	if again != confirmAfter || len(b.restarts) > 0 {
		t.Errorf("restarted %v and looks again in %s, want it to make sure first", b.restarts, again)
	}
	if err := b.Failure(); err == nil || err.Error() != table+" is gone from the kernel, and Services do not answer: kube-proxy is started again to write it" {
		t.Errorf("got %v", err)
	}
	if b.changes != 1 {
		t.Errorf("told %d changes, want one", b.changes)
	}
	b.clock.Step(again)
	b.look(t.Context())
	if len(b.restarts) != 1 {
		t.Errorf("restarted %v", b.restarts)
	}
	b.missing = ""
	b.look(t.Context())
	found := b.Findings()
	if b.Failure() != nil || len(found) != 1 || found[0].Name != finding.ProxyRulesLost || !strings.Contains(found[0].Message, table) {
		t.Errorf("got %v and %v, want to be told of what was mended", b.Failure(), found)
	}
	b.clock.Step(remembered + time.Second)
	if found := b.Findings(); len(found) > 0 {
		t.Errorf("still told of %v", found)
	}
}

func TestWhatIsPutBackAtOnceIsNoLoss(t *testing.T) {
	b := newBench()
	b.missing = table
	b.clock.Step(b.look(t.Context()) / 2)
	b.missing = ""
	b.look(t.Context())
	b.pass(t, time.Minute)
	if len(b.restarts) > 0 {
		t.Errorf("restarted %v", b.restarts)
	}
}

func TestAFirewallThatFlushesEveryMinuteDoesNotKillKubeProxyForEver(t *testing.T) {
	b := newBench()
	for range 60 {
		b.missing = table
		b.pass(t, time.Minute)
	}
	if n := len(b.restarts); n < 20 || n > 34 {
		t.Errorf("restarted %d times in an hour of 60 losses, want it about every other minute: %v", n, b.restarts)
	}
	for i := range b.restarts[1:] {
		if gap := b.restarts[i+1] - b.restarts[i]; i > 6 && gap < 2*time.Minute {
			t.Errorf("restart %d came %s after the one before", i+2, gap)
		}
	}
	b.missing = table
	b.look(t.Context())
	if err := b.Failure(); err == nil || !strings.Contains(err.Error(), "restarts kube-proxy writes it again at ") {
		t.Errorf("got %v, want to be told when it is restarted next", err)
	}
	b.missing = ""
	b.pass(t, peace+time.Minute)
	b.missing = table
	b.look(t.Context())
	if err := b.Failure(); err == nil || strings.Contains(err.Error(), "at the earliest") {
		t.Errorf("got %v, want peace to be rewarded", err)
	}
}

func TestAKubeProxyThatWasRestartedTooOftenIsLeftAloneForAsLongAsItMust(t *testing.T) {
	b := newBench()
	free := b.clock.Now().Add(5 * time.Minute)
	b.Wait = func() time.Duration { return max(0, free.Sub(b.clock.Now())) }
	b.missing = table
	b.pass(t, 4*time.Minute+59*time.Second)
	if len(b.restarts) > 0 {
		t.Errorf("restarted %v", b.restarts)
	}
	b.pass(t, 4*time.Second)
	if len(b.restarts) != 1 {
		t.Errorf("restarted %v, want it once that is over", b.restarts)
	}
}

func TestAKubeProxyThatDoesNotRunIsLeftToItsSupervisor(t *testing.T) {
	b := newBench()
	b.missing, b.stopped = table, true
	b.pass(t, time.Minute)
	if len(b.restarts) > 0 || b.Failure() != nil {
		t.Errorf("restarted %v, %v", b.restarts, b.Failure())
	}
}

func TestAKubeProxyThatWaitsForTheAPIServerIsNotRestarted(t *testing.T) {
	b := newBench()
	b.missing, b.unsynced = table, true
	b.pass(t, time.Hour)
	var failure *health.Failure
	if err := b.Failure(); len(b.restarts) > 0 || !errors.As(err, &failure) || failure.Reason != v1alpha1.ReasonStarting || len(b.Findings()) > 0 {
		t.Errorf("restarted %v, %v, found %v", b.restarts, err, b.Findings())
	}
	b.missing, b.unsynced = "", false
	b.look(t.Context())
	if err := b.Failure(); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeLookedAtIsSaidAndNoReasonToRestart(t *testing.T) {
	b := newBench()
	b.failure = errors.New("no nftables here")
	b.pass(t, time.Minute)
	if err := b.Failure(); len(b.restarts) > 0 || !errors.Is(err, b.failure) {
		t.Errorf("restarted %v, %v", b.restarts, err)
	}
}

func TestAFlushIsMendedWithinSeconds(t *testing.T) {
	inNamespace(t)
	p := kubeProxy(t, v1alpha1.ProxyModeNFTables)
	p.awaits(v1alpha1.ProxyModeNFTables, four, "")
	ctx, cancel := context.WithCancel(t.Context())
	inside, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	events, err := netevents.Subscribe(ctx, netevents.Rules)
	if err != nil {
		t.Fatal(err)
	}
	restart, seen := make(chan string, 1), atomic.Bool{}
	k := &Keeper{
		Missing: func(ctx context.Context) (string, error) { return Missing(ctx, v1alpha1.ProxyModeNFTables, four) },
		Runs:    func() bool { return true },
		Started: func() time.Time { return time.Now().Add(-time.Hour) },
		Wrote:   func(context.Context) (bool, error) { return true, nil },
		Restart: func(reason string) { restart <- reason },
		Clock:   clock.RealClock{}, Log: logr.Discard(),
	}
	k.Changed = func() { seen.Store(seen.Load() || k.missing != "") }
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := netns.Set(inside); err != nil {
			t.Error(err)
			return
		}
		k.Run(ctx, events)
	}()
	defer func() { cancel(); <-done; _ = inside.Close() }()
	begun := time.Now()
	run(t, "nft flush ruleset")
	select {
	case reason := <-restart:
		if reason != table+" is gone from the kernel" || !seen.Load() {
			t.Errorf("restarted because %q; told before: %t", reason, seen.Load())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("kube-proxy was not restarted")
	}
	p.stop()
	p.start()
	p.awaits(v1alpha1.ProxyModeNFTables, four, "")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the rules were gone for %s", took)
	}
}

func TestRulesThatAreToBeLeftGoneAreOnlyTold(t *testing.T) {
	b := newBench()
	b.Leaves = func() bool { return true }
	b.missing = "the table"
	b.pass(t, time.Minute)
	if err := b.Failure(); len(b.restarts) > 0 || err == nil || !strings.Contains(err.Error(), "the policy for rules is Report") {
		t.Errorf("kube-proxy was restarted %d times, and is told %v", len(b.restarts), err)
	}
}

// By its own word it has written them as soon as it begins to.
func TestOneThatWasJustStartedIsGivenTimeToWriteItsRules(t *testing.T) {
	b := newBench()
	b.started = b.clock.Now()
	b.missing = "the nftables table ip kube-proxy"
	b.pass(t, firstWrite-lookEvery)
	if len(b.restarts) > 0 {
		t.Fatalf("it was started again after %s", b.restarts)
	}
	if f := b.Failure(); f == nil || !strings.Contains(f.Error(), "has not written its rules yet") {
		t.Errorf("meanwhile it says %v", f)
	}
	b.pass(t, 3*lookEvery)
	if len(b.restarts) != 1 {
		t.Errorf("after %s it was started again %d times", firstWrite, len(b.restarts))
	}
}

func TestOneThatHadItsRulesIsStartedAgainAtOnceForThem(t *testing.T) {
	b := newBench()
	b.started = b.clock.Now()
	b.pass(t, lookEvery)
	b.missing = "the nftables table ip kube-proxy"
	b.pass(t, 2*lookEvery)
	if len(b.restarts) != 1 {
		t.Errorf("it was started again %d times", len(b.restarts))
	}
}
