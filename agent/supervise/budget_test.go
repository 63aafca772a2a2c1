package supervise

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestABudgetIsSpentByRepairsThatFollowEachOther(t *testing.T) {
	now := time.Unix(1e6, 0)
	ago := func(cause repairCause, ages ...time.Duration) []repair {
		var all []repair
		for _, age := range ages {
			all = append(all, repair{At: now.Add(-age), For: cause})
		}
		return all
	}
	b := Budget{Repairs: 3}.withDefaults()
	const m = time.Minute
	for _, c := range []struct {
		reason string
		all    []repair
		wait   time.Duration
		told   string
	}{
		{"nothing was to be mended", nil, 0, ""},
		{"a few are made as they are needed", ago(afterEnd, 2*time.Second, time.Second), 0, ""},
		{"then one has to do for five minutes", ago(afterEnd, 3*m, 2*m, m), 4 * m, "3 restarts within 2m0s did not mend it (3 after an end), so it is restarted once in 5m at most until none was needed for 1h"},
		{"whatever they are for, they are one budget", append(ago(afterEnd, 9*m), append(ago(afterHang, 8*m), ago(afterLoss, m)...)...), 4 * m,
			"3 restarts within 8m0s did not mend it (1 after an end, 1 after a hang, 1 for what it had lost), so it is restarted once in 5m at most until none was needed for 1h"},
		{"one that is due is not held up, and the budget stays spent", ago(afterEnd, 20*m, 10*m, 5*m), 0, "3 restarts within 15m0s did not mend it (3 after an end), so it is restarted once in 5m at most until none was needed for 1h"},
		{"what is long ago does not count", ago(afterEnd, 181*m, 100*m, 50*m), 0, ""},
		{"after an hour of peace all is forgotten", ago(afterEnd, 62*m, 61*m, 60*m), 0, ""},
		{"a clock that was set back does not hold it up for longer", ago(afterEnd, -time.Hour, -time.Hour, -time.Hour), 5 * m, "3 restarts within 0s did not mend it (3 after an end), so it is restarted once in 5m at most until none was needed for 1h"},
	} {
		if wait, told := b.wait(c.all, now), b.told(c.all, now); wait != c.wait || told != c.told {
			t.Errorf("%s: got %s, %q\nwant %s, %q", c.reason, wait, told, c.wait, c.told)
		}
	}
}

func TestRepairsAreKeptWithinBounds(t *testing.T) {
	b, now := Budget{}.withDefaults(), time.Unix(1e6, 0)
	var all []repair
	for i := range 500 {
		all = b.add(all, now.Add(time.Duration(i)*time.Second), afterLoss)
	}
	if len(all) != maxRepairs || !all[maxRepairs-1].At.Equal(now.Add(499*time.Second)) {
		t.Errorf("%d are kept, the last of %s", len(all), all[len(all)-1].At)
	}
	if all = b.add(all, now.Add(4*time.Hour), afterEnd); len(all) != 1 {
		t.Errorf("%d are kept after a long peace, want the new one", len(all))
	}
}

// crashing is a supervisor on a clock that stands still, with a process that ends as soon as it is started.
type crashing struct {
	*Supervisor
	t     *testing.T
	bench *bench
	clock *clocktesting.FakeClock
	end   func()
	wants Process
	// tickers are those of the log rotation, one for each agent: on this clock they do not go.
	tickers int
}

func newCrashing(t *testing.T, change func(*Options)) *crashing {
	t.Helper()
	c := &crashing{t: t, bench: newBench(t), clock: clocktesting.NewFakeClock(time.Now())}
	c.bench.opts.Clock, c.bench.opts.Chance = c.clock, func() float64 { return 0 }
	c.bench.opts.Backoff = Backoff{}
	change(&c.bench.opts)
	c.wants = c.bench.shell("kubelet", "echo broken; exit 1")
	c.Supervisor, c.end = c.bench.start(c.wants)
	c.tickers = 1
	return c
}

// restartAgent is an agent that ends, and the next one.
func (c *crashing) restartAgent() {
	c.t.Helper()
	c.end()
	c.Supervisor, c.end = c.bench.start(c.wants)
	c.tickers++
}

// waits says that the process was started again a number of times, and waits for the next.
func (c *crashing) waits(restarts int32) bool {
	got := status(c.Supervisor, "kubelet")
	return got.State == fleetv1.ComponentBackOff && ptr.Deref(got.Restarts, 0) == restarts && c.clock.Waiters() == 1+c.tickers
}

// restartsAfter wants the next restart after a time, neither sooner nor later.
func (c *crashing) restartsAfter(d time.Duration, restarts int32) {
	c.t.Helper()
	eventually(c.t, "it waits to be started again", func() bool { return c.waits(restarts - 1) })
	if d > 0 {
		c.clock.Step(d - time.Millisecond)
		if !c.waits(restarts - 1) {
			c.t.Fatalf("restart %d came before %s", restarts, d)
		}
		c.clock.Step(time.Millisecond)
	}
	eventually(c.t, fmt.Sprintf("restart %d", restarts), func() bool { return c.waits(restarts) })
}

func TestARestartedAgentGoesOnWithTheBackoff(t *testing.T) {
	c := newCrashing(t, func(*Options) {})
	c.restartsAfter(100*time.Millisecond, 1)
	c.restartsAfter(500*time.Millisecond, 2)
	c.clock.Step(400 * time.Millisecond)
	c.restartAgent()
	eventually(t, "the next agent to wait as well", func() bool { return c.waits(2) })
	if n := c.Failures("kubelet"); n != 3 {
		t.Errorf("it knows of %d ends in a row, want 3", n)
	}
	c.restartsAfter(600*time.Millisecond, 3) // a second, of which the agent before waited a part
	c.restartsAfter(2*time.Second, 4)
}

func TestAnEndThatNoAgentSawCountsAsWell(t *testing.T) {
	b := newBench(t)
	process := b.sleeper("kubelet")
	s, end := b.start(process)
	kill := func() {
		t.Helper()
		pid := runs(t, s, "kubelet")
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	kill()
	eventually(t, "it to run again", func() bool {
		got := status(s, "kubelet")
		return got.State == fleetv1.ComponentRunning && ptr.Deref(got.Restarts, 0) == 1
	})
	end()
	kill()
	s, _ = b.start(process)
	eventually(t, "it to be started again", func() bool { return ptr.Deref(status(s, "kubelet").Restarts, 0) == 2 })
	if n := s.Failures("kubelet"); n != 2 {
		t.Errorf("%d ends in a row are counted, want 2", n)
	}
}

// A process that was well for long before its agent was restarted did not end soon after its start.
func TestHealthBeforeAnAgentWasRestartedCounts(t *testing.T) {
	b := newBench(t)
	clock := clocktesting.NewFakeClock(time.Now())
	b.opts.Clock = clock
	process := b.sleeper("kubelet")
	s, end := b.start(process)
	runs(t, s, "kubelet")
	s.mu.Lock()
	s.units["kubelet"].record.Failures = 7
	s.mu.Unlock()
	s.units["kubelet"].save()
	end()
	s, end = b.start(process)
	runs(t, s, "kubelet")
	if n := s.Failures("kubelet"); n != 7 {
		t.Fatalf("%d ends in a row are known, want 7", n)
	}
	end()
	clock.Step(31 * time.Second)
	s, _ = b.start(process)
	pid := runs(t, s, "kubelet")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end to be the first", func() bool { return s.Failures("kubelet") == 1 })
}

func TestASpentBudgetSlowsRestartsDown(t *testing.T) {
	c := newCrashing(t, func(o *Options) { o.Budget = Budget{Repairs: 3} })
	c.restartsAfter(100*time.Millisecond, 1)
	c.restartsAfter(500*time.Millisecond, 2)
	if told := c.Exhausted("kubelet"); told != "" {
		t.Errorf("after two repairs of three it says %q", told)
	}
	c.restartsAfter(time.Second, 3)
	if told := c.Exhausted("kubelet"); !strings.HasPrefix(told, "3 restarts within 2s did not mend it (3 after an end)") && !strings.HasPrefix(told, "3 restarts within 1s did") {
		t.Errorf("it says %q", told)
	}
	c.restartsAfter(5*time.Minute, 4)
	c.clock.Step(4 * time.Minute)
	c.restartAgent()
	c.restartsAfter(time.Minute, 5) // which another agent knows as well

	c.wants = c.bench.shell("kubelet", "echo other; exit 1")
	if err := c.Apply([]Process{c.wants}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another configuration to begin anew", func() bool { return c.Exhausted("kubelet") == "" && c.Failures("kubelet") == 1 })
	c.restartsAfter(100*time.Millisecond, 6)
}

func TestWhatNeedsWhatIsAwayIsExcused(t *testing.T) {
	var back atomic.Bool
	c := newCrashing(t, func(o *Options) {
		o.Budget, o.Excused = Budget{Repairs: 1}, func(name string) bool { return name == "kubelet" && !back.Load() }
	})
	c.restartsAfter(100*time.Millisecond, 1)
	c.restartsAfter(500*time.Millisecond, 2)
	back.Store(true)
	if told := c.Exhausted("kubelet"); told != "" {
		t.Errorf("it says %q", told)
	}
	eventually(t, "that it waits", func() bool { return status(c.Supervisor, "kubelet").State == fleetv1.ComponentBackOff })
	c.Hurry("kubelet") // it is back
	c.restartsAfter(0, 3)
	if n := c.Failures("kubelet"); n != 4 {
		t.Errorf("%d ends in a row are counted, want 4", n)
	}
	if told := c.Exhausted("kubelet"); told != "" {
		t.Errorf("the start that it waited for is counted: %q", told)
	}
}

func TestRestartsForAnyCauseAreOneBudget(t *testing.T) {
	b := newBench(t)
	b.opts.Budget = Budget{Repairs: 2}
	s, _ := b.start(b.sleeper("kube-proxy"))
	first := runs(t, s, "kube-proxy")
	s.Mend("kube-proxy", "its rules are gone")
	eventually(t, "another process", func() bool {
		got := status(s, "kube-proxy")
		return got.State == fleetv1.ComponentRunning && got.PID != nil && int(*got.PID) != first
	})
	if wait := s.RepairWait("kube-proxy"); wait != 0 {
		t.Errorf("after one repair of two the next has to wait %s", wait)
	}
	hangs(t, s, "kube-proxy", 1)
	if told := s.Exhausted("kube-proxy"); !strings.Contains(told, "(1 after a hang, 1 for what it had lost)") {
		t.Errorf("it says %q", told)
	}
	if wait := s.RepairWait("kube-proxy"); wait < 4*time.Minute || wait > 5*time.Minute {
		t.Errorf("the next has to wait %s, want five minutes", wait)
	}
	pid := runs(t, s, "kube-proxy")
	s.RestartHung("kube-proxy", int32(pid), 2, "it did not answer")
	if s.units["kube-proxy"].hung != nil {
		t.Error("it is ended though it may not be started again yet")
	}
}

func TestWhatIsToBeMendedWaitsForTheBudget(t *testing.T) {
	b, clock := newBench(t), clocktesting.NewFakeClock(time.Now())
	b.opts.Clock, b.opts.Budget = clock, Budget{Repairs: 1}
	kubelet := b.sleeper("kubelet")
	s, end := b.start(kubelet)
	another := func(than int) (pid int) {
		t.Helper()
		eventually(t, "another process", func() bool {
			got := status(s, "kubelet")
			pid = int(ptr.Deref(got.PID, 0))
			return got.State == fleetv1.ComponentRunning && pid != 0 && pid != than
		})
		return pid
	}
	first := runs(t, s, "kubelet")
	s.Mend("kubelet", "it read what was not its own")
	second := another(first)
	s.Mend("kubelet", "it read what was not its own")
	const rotation = 1
	eventually(t, "it waits", func() bool { return clock.Waiters() == rotation+1 })
	end()
	s, _ = b.start(kubelet)
	eventually(t, "it waits under another agent", func() bool { return clock.Waiters() == 2*rotation+1 })
	clock.Step(b.opts.Budget.withDefaults().Every - time.Second)
	if pid := runs(t, s, "kubelet"); pid != second {
		t.Fatalf("it was restarted before the budget allows it")
	}
	clock.Step(time.Second)
	third := another(second)
	if told := s.Exhausted("kubelet"); !strings.Contains(told, "2 restarts") {
		t.Errorf("it says %q", told)
	}
	s.Mend("kubelet", "it read what was not its own")
	s.Restart("kubelet", "it is to speak to another API server")
	fourth := another(third)
	clock.Step(time.Hour / 2)
	s.mu.Lock()
	mend := s.units["kubelet"].record.Mend
	s.mu.Unlock()
	if pid := runs(t, s, "kubelet"); pid != fourth || mend != "" {
		t.Error("a process that was started since is restarted for what the one before had lost")
	}
}
