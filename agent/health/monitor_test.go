package health

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// fakeProcesses is a supervisor whose processes the test moves.
type fakeProcesses struct {
	mu     sync.Mutex
	states []fleetv1.ComponentStatus
	cause  string
	hung   []string
	// exhausted is what is said of every process's repairs.
	exhausted string
	changed   chan struct{}
}

func (f *fakeProcesses) Status() []fleetv1.ComponentStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]fleetv1.ComponentStatus(nil), f.states...)
}

func (f *fakeProcesses) NotReady(string) string { return f.cause }

func (f *fakeProcesses) Changed() <-chan struct{} { return f.changed }

func (f *fakeProcesses) Hangs(string) (int, time.Time) { return 0, time.Time{} }

func (f *fakeProcesses) Exhausted(string) string { return f.exhausted }

func (f *fakeProcesses) RestartHung(_ string, _ int32, _ int, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hung = append(f.hung, message)
}

func (f *fakeProcesses) set(states ...fleetv1.ComponentStatus) {
	f.mu.Lock()
	f.states = states
	f.mu.Unlock()
	f.changed <- struct{}{}
}

func kubelet(state fleetv1.ComponentState) fleetv1.ComponentStatus {
	return fleetv1.ComponentStatus{Name: fleetv1.ComponentKubelet, State: state, StartedAt: metav1.Now()}
}

func startMonitor(t *testing.T, processes *fakeProcesses, probes ...Probe) *Monitor {
	t.Helper()
	m := New(processes, logr.Discard())
	m.SetProbes(probes...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

// becomes waits until a condition has a status and a reason, and returns it.
func becomes(t *testing.T, m *Monitor, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	var got *metav1.Condition
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got = meta.FindStatusCondition(m.Conditions(), kind); got != nil && got.Status == status && got.Reason == reason {
			return *got
		}
	}
	t.Fatalf("%s is %+v, want %s %s", kind, got, status, reason)
	return metav1.Condition{}
}

func TestMonitorFollowsAProcess(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1)}
	processes.states = []fleetv1.ComponentStatus{kubelet(fleetv1.ComponentWaiting)}
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, Healthy: "pods are synced",
		Check: func(context.Context) error { return nil },
	})
	becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonWaitingForDependency)
	processes.set(kubelet(fleetv1.ComponentStarting))
	becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonStarting)
	processes.set(kubelet(fleetv1.ComponentRunning))
	becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)

	down := kubelet(fleetv1.ComponentBackOff)
	down.LastExit = &fleetv1.ComponentExit{Signal: "SIGKILL"}
	began := time.Now()
	processes.set(down)
	got := becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonExited)
	if took := time.Since(began); took > time.Second {
		t.Errorf("an exit took %s to show, want a second at most", took)
	}
	if want := "kubelet was ended by SIGKILL and is about to be started again"; got.Message != want {
		t.Errorf("message is %q, want %q", got.Message, want)
	}
}

// A refused connection of the time before the process came to run is no failed probe.
func TestAnswersFromBeforeAProcessRanAreForgotten(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1)}
	processes.states = []fleetv1.ComponentStatus{kubelet(fleetv1.ComponentStarting)}
	var asked atomic.Int64
	var answers atomic.Bool
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, RetryEvery: time.Millisecond,
		Check: func(context.Context) error {
			asked.Add(1)
			if !answers.Load() {
				return errors.New("connection refused")
			}
			return nil
		},
	})
	changed := m.Changed()
	for asked.Load() < 5 {
		time.Sleep(time.Millisecond) // polls the counter
	}
	reasons := make(chan map[string]bool)
	stop := make(chan struct{})
	go func() {
		seen := map[string]bool{}
		for {
			for _, c := range m.Conditions() {
				seen[c.Reason] = true
			}
			select {
			case <-stop:
				reasons <- seen
				return
			case <-changed:
			}
		}
	}()
	answers.Store(true)
	processes.set(kubelet(fleetv1.ComponentRunning))
	becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)
	close(stop)
	if seen := <-reasons; seen[fleetv1.ReasonProbeFailed] {
		t.Errorf("a start went through the reasons %v", seen)
	}
}

func TestFollowForgetsOnlyWhatIsOlderThanTheRun(t *testing.T) {
	refused := errors.New("connection refused")
	cases := []struct {
		reason   string
		from, to fleetv1.ComponentState
		asked    bool
	}{
		{"a process that came to run is asked anew", fleetv1.ComponentStarting, fleetv1.ComponentRunning, false},
		{"so is one that was started again", fleetv1.ComponentBackOff, fleetv1.ComponentRunning, false},
		{"one that goes on running is as ill as it was", fleetv1.ComponentRunning, fleetv1.ComponentRunning, true},
		{"one that ran when the agent began is, too", "", fleetv1.ComponentRunning, true},
		{"one that ended keeps its last answer", fleetv1.ComponentRunning, fleetv1.ComponentBackOff, true},
	}
	for _, c := range cases {
		p := &probeState{asked: true, err: refused, failures: 3, state: c.from}
		status := kubelet(c.to)
		p.follow(&status)
		if p.asked != c.asked || (p.err != nil) != c.asked {
			t.Errorf("%s: got asked %v and error %v", c.reason, p.asked, p.err)
		}
	}
	for _, c := range []struct {
		reason       string
		rerun, asked bool
		want         bool
	}{
		{"an answer that a change overtook does not count", true, false, false},
		{"the first failure of a process that has just come to run does not", false, false, false},
		{"of one known to be well neither", false, true, false},
	} {
		p := &probeState{Probe: Probe{Component: "kubelet"}, rerun: c.rerun, asked: c.asked}
		m := New(&fakeProcesses{}, logr.Discard())
		if m.answered(p, refused); (p.err != nil) != c.want {
			t.Errorf("%s: got %v", c.reason, p.err)
		}
	}
}

func TestOneLateAnswerIsForgivenTwoAreNot(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1), states: []fleetv1.ComponentStatus{kubelet(fleetv1.ComponentRunning)}}
	var asked, fails atomic.Int64
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, Every: 5 * time.Millisecond, RetryEvery: 5 * time.Millisecond,
		Check: func(context.Context) error {
			asked.Add(1)
			if fails.Add(-1) >= 0 {
				return errors.New("too late")
			}
			return nil
		},
	})
	becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)
	changed := m.Changed()
	fails.Store(1)
	for from := asked.Load(); asked.Load() < from+5; {
		time.Sleep(time.Millisecond) // polls the counter
	}
	if len(changed) > 0 {
		t.Error("one late answer changed a condition")
	}
	fails.Store(1 << 40)
	got := becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonProbeFailed)
	if got.Message != "too late" {
		t.Errorf("message is %q, want the probe's answer", got.Message)
	}
}

func TestAConditionGoesWithItsProbe(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1)}
	well := func(context.Context) error { return nil }
	disk := Probe{Condition: fleetv1.DiskHealthyCondition, Check: well}
	m := startMonitor(t, processes, disk, Probe{Condition: "Gone", Check: well})
	becomes(t, m, "Gone", metav1.ConditionTrue, fleetv1.ReasonHealthy)
	disk.Disabled = true
	m.SetProbes(disk)
	becomes(t, m, fleetv1.DiskHealthyCondition, metav1.ConditionTrue, fleetv1.ReasonDisabled)
	if meta.FindStatusCondition(m.Conditions(), "Gone") != nil {
		t.Error("a condition that no probe stands behind is kept")
	}
}

// A node is no less well because what is asked of it has changed.
func TestWhatIsKnownHoldsUntilAnotherQuestionIsAnswered(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1)}
	disk := Probe{Condition: fleetv1.DiskHealthyCondition, Check: func(context.Context) error { return nil }}
	m := startMonitor(t, processes, disk)
	becomes(t, m, fleetv1.DiskHealthyCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)
	asked, answer := make(chan struct{}, 1), make(chan error)
	disk.Check = func(ctx context.Context) error {
		asked <- struct{}{}
		select {
		case err := <-answer:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	changed := m.Changed()
	m.SetProbes(disk)
	<-asked
	if got := m.Conditions(); len(changed) > 0 || len(got) != 1 || got[0].Status != metav1.ConditionTrue {
		t.Errorf("before the answer it is %+v", got)
	}
	answer <- errors.New("full")
	becomes(t, m, fleetv1.DiskHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonProbeFailed)
}

func TestInconclusiveAnswerLeavesTheConditionAlone(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1)}
	var asked atomic.Int64
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.ClockSynchronizedCondition, Every: time.Millisecond,
		Check: func(context.Context) error {
			if asked.Add(1) > 1 {
				return ErrInconclusive
			}
			return nil
		},
	})
	becomes(t, m, fleetv1.ClockSynchronizedCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)
	for asked.Load() < 2 {
		time.Sleep(time.Millisecond) // polls the counter
	}
	becomes(t, m, fleetv1.ClockSynchronizedCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)
}

func TestAComponentThatIsSlowToGetReadySaysWhy(t *testing.T) {
	started := metav1.NewTime(time.Now().Add(-time.Hour))
	processes := &fakeProcesses{changed: make(chan struct{}, 1), cause: "import image pause:3.10: no space left on device", states: []fleetv1.ComponentStatus{
		{Name: fleetv1.ComponentContainerd, State: fleetv1.ComponentStarting, StartedAt: started},
	}}
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.RuntimeHealthyCondition, Component: fleetv1.ComponentContainerd,
		Check: func(context.Context) error { return nil }, // containerd itself is well
	})
	got := becomes(t, m, fleetv1.RuntimeHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonStarting)
	if want := "containerd was started and is not healthy yet: import image pause:3.10: no space left on device"; got.Message != want {
		t.Errorf("message is %q, want %q", got.Message, want)
	}
}

func TestThatRestartsDoNotMendAComponentReachesItsCondition(t *testing.T) {
	processes := &fakeProcesses{changed: make(chan struct{}, 1), exhausted: "10 restarts did not mend it", states: []fleetv1.ComponentStatus{kubelet(fleetv1.ComponentBackOff)}}
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, Check: func(context.Context) error { return nil },
	})
	becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonRepairExhausted)
}

// A restart mends no certificate.
func TestAnIllProcessThatAnswersIsNotRestarted(t *testing.T) {
	running := kubelet(fleetv1.ComponentRunning)
	running.PID = ptr.To[int32](42)
	processes := &fakeProcesses{changed: make(chan struct{}, 1), states: []fleetv1.ComponentStatus{running}}
	var asked atomic.Int64
	m := startMonitor(t, processes, Probe{
		Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, RetryEvery: time.Millisecond, Tolerance: time.Millisecond,
		Check: func(context.Context) error { return errors.New("the certificate has ended") },
		Alive: func(context.Context) error { asked.Add(1); return nil },
	})
	got := becomes(t, m, fleetv1.KubeletHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonProbeFailed)
	if got.Message != "the certificate has ended" {
		t.Errorf("message is %q", got.Message)
	}
	for asked.Load() < 20 {
		time.Sleep(time.Millisecond) // polls the counter
	}
	processes.mu.Lock()
	defer processes.mu.Unlock()
	if len(processes.hung) > 0 {
		t.Errorf("it was restarted: %v", processes.hung)
	}
}

func TestOnlySilenceOfTheProcessThatRunsCounts(t *testing.T) {
	silent := errors.New("no answer")
	began := time.Unix(1000, 0)
	p := &probeState{pid: 1}
	p.heard(silent, began)
	p.heard(silent, began.Add(time.Second))
	p.heard(ErrInconclusive, began.Add(2*time.Second))
	if p.unanswered != 2 || !p.silent.Equal(began) {
		t.Errorf("it is silent since %s, to %d questions", p.silent, p.unanswered)
	}
	same := kubelet(fleetv1.ComponentRunning)
	same.PID = ptr.To[int32](1)
	if p.follow(&same); p.unanswered != 2 {
		t.Error("its silence was forgotten")
	}
	same.PID = ptr.To[int32](2)
	if p.follow(&same); p.unanswered != 0 || !p.silent.IsZero() {
		t.Error("a new process has to answer for its predecessor's silence")
	}
	p.heard(silent, began)
	if p.heard(nil, began.Add(time.Second)); p.unanswered != 0 || !p.silent.IsZero() {
		t.Error("one that has answered is silent")
	}
}

func TestWhatChangedIsAskedForAtOnce(t *testing.T) {
	var broken atomic.Bool
	m := startMonitor(t, &fakeProcesses{changed: make(chan struct{}, 1)}, Probe{
		Condition: fleetv1.NetworkHealthyCondition, Healthy: "there are routes", Every: time.Hour,
		Check: func(context.Context) error {
			if broken.Load() {
				return errors.New("the bridge is gone")
			}
			return nil
		},
	})
	becomes(t, m, fleetv1.NetworkHealthyCondition, metav1.ConditionTrue, fleetv1.ReasonHealthy)
	broken.Store(true)
	m.Recheck(fleetv1.NetworkHealthyCondition)
	becomes(t, m, fleetv1.NetworkHealthyCondition, metav1.ConditionFalse, fleetv1.ReasonProbeFailed)
}
