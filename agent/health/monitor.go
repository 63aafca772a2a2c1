package health

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// Probe is what one condition rests on.
type Probe struct {
	// Condition is the condition's type.
	Condition string
	// Component is the process behind it, as the supervisor names it; empty when there is none.
	Component string
	// Disabled says that the template turned the component off.
	Disabled bool
	// Check asks the question; nil is the good answer. It runs beside other probes and gets a deadline.
	Check func(context.Context) error
	// Alive asks whether the process answers at all; any answer is nil. It is asked beside Check once that has failed. A process
	// that stays silent for its tolerance is restarted; none is for another failure. Nil: never.
	Alive func(context.Context) error
	// Tolerance is how long the process may be silent the first time. Default: 20 s.
	Tolerance time.Duration
	// Timeout is how long an answer may take. Default: 5 s.
	Timeout time.Duration
	// Healthy is the condition's message while all is well.
	Healthy string
	// Every is the time between two questions while all is well. Default: 10 s.
	Every time.Duration
	// RetryEvery is the least time between two questions while it is not. Default: 200 ms.
	RetryEvery time.Duration
}

// Processes is the part of a supervisor that a monitor needs.
type Processes interface {
	Status() []fleetv1.ComponentStatus
	// NotReady is why a component that was started is not ready; empty when nobody knows.
	NotReady(component string) string
	Changed() <-chan struct{}
	// Hangs is how often in a row a component was restarted because it hung, and when the last time.
	Hangs(component string) (inARow int, last time.Time)
	// Exhausted says that restarts did not mend a component, and is empty while they may.
	Exhausted(component string) string
	// RestartHung has a process ended and started again because it hangs, unless it is another one by now.
	RestartHung(component string, pid int32, inARow int, message string)
}

const (
	defaultEvery      = 10 * time.Second
	defaultRetryEvery = 200 * time.Millisecond
	// eagerFor is how long after a change a probe that fails is asked again quickly, and patientEvery how often later.
	eagerFor       = time.Minute
	patientEvery   = 2 * time.Second
	defaultTimeout = 5 * time.Second
	// failuresBeforeFalse is how many times in a row a part must fail while its process runs: a busy machine answers
	// late now and then, and a process that has just begun to run may not answer everything yet.
	failuresBeforeFalse = 2
)

// Monitor keeps the conditions of a node.
type Monitor struct {
	processes Processes
	log       logr.Logger
	now       func() time.Time

	mu         sync.Mutex
	probes     []*probeState
	conditions []metav1.Condition
	readers    []chan struct{}
	lastEvent  time.Time
	wake       chan struct{}
}

type probeState struct {
	Probe
	due      time.Time
	running  bool
	rerun    bool // something changed while it ran
	asked    bool
	failures int
	err      error
	started  bool                   // the component was seen to start
	state    fleetv1.ComponentState // of the component when the conditions were last derived

	pid        int32     // of the process then, 0 for none
	silent     time.Time // since when it has not answered at all, zero while it does
	unanswered int
	chance     float64 // of this silence
}

// follow notes the component's state. What was answered before it came to run is no evidence against it.
func (p *probeState) follow(component *fleetv1.ComponentStatus) {
	if component == nil {
		return
	}
	if pid := ptr.Deref(component.PID, 0); pid != p.pid {
		p.pid = pid
		p.lived()
	}
	if component.State == p.state {
		return
	}
	starting := p.state != "" && p.state != fleetv1.ComponentRunning
	p.state = component.State
	if component.State == fleetv1.ComponentRunning && starting {
		p.failures, p.err, p.asked, p.started = 0, nil, false, true
	}
}

// lived takes down that the process answered, or that it is another one.
func (p *probeState) lived() { p.silent, p.unanswered = time.Time{}, 0 }

// heard takes down what a process answered to a question that was put to it at a time.
func (p *probeState) heard(err error, asked time.Time) {
	switch {
	case errors.Is(err, ErrInconclusive):
	case err == nil:
		p.lived()
	default:
		if p.unanswered == 0 {
			p.silent, p.chance = asked, rand.Float64()
		}
		p.unanswered++
	}
}

// New makes a monitor. Nothing is known until Run runs and SetProbes was called.
func New(processes Processes, log logr.Logger) *Monitor {
	return &Monitor{processes: processes, log: log, now: time.Now, wake: make(chan struct{}, 1)}
}

// SetProbes replaces the probes, and has each asked at once. Conditions of no probe are dropped; what was known of one that goes on
// with another question holds until that is answered.
func (m *Monitor) SetProbes(probes ...Probe) {
	m.mu.Lock()
	next := make([]*probeState, 0, len(probes))
	for _, p := range probes {
		next = append(next, m.successor(p.withDefaults()))
	}
	m.probes = next
	m.lastEvent = m.now()
	m.mu.Unlock()
	m.poke()
}

func (p Probe) withDefaults() Probe {
	p.Every, p.RetryEvery = cmp.Or(p.Every, defaultEvery), cmp.Or(p.RetryEvery, defaultRetryEvery)
	p.Tolerance, p.Timeout = cmp.Or(p.Tolerance, defaultTolerance), cmp.Or(p.Timeout, defaultTimeout)
	return p
}

// successor is a probe with what is known of it.
func (m *Monitor) successor(p Probe) *probeState {
	for _, known := range m.probes {
		if known.Condition == p.Condition && known.Component == p.Component && known.Disabled == p.Disabled {
			next := *known // whose answer to a question that is under way nobody hears any more
			next.Probe, next.due, next.running, next.rerun = p, time.Time{}, false, false
			return &next
		}
	}
	return &probeState{Probe: p}
}

// Conditions are the present conditions of the probes. Their messages and times change only when they do.
func (m *Monitor) Conditions() []metav1.Condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.conditions)
}

// Changed returns a channel that gets a value after conditions changed; several changes may be one value. Each caller
// gets a channel of its own.
func (m *Monitor) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	reader := make(chan struct{}, 1)
	m.readers = append(m.readers, reader)
	return reader
}

// Recheck has the question of a condition asked at once: what it rests on has changed.
func (m *Monitor) Recheck(condition string) {
	m.mu.Lock()
	for _, p := range m.probes {
		if p.Condition == condition {
			p.due, p.rerun = time.Time{}, true
		}
	}
	m.mu.Unlock()
	m.poke()
}

// Run probes until the context ends.
func (m *Monitor) Run(ctx context.Context) error {
	var checks sync.WaitGroup
	defer checks.Wait()
	changed := m.processes.Changed()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			m.processChanged()
		case <-m.wake:
		case <-timer.C:
		}
		due, next := m.takeDue()
		for _, p := range due {
			checks.Go(func() { m.ask(ctx, p) })
		}
		for _, hang := range m.settle() {
			m.processes.RestartHung(hang.Component, hang.PID, hang.InARow, hang.Message)
		}
		timer.Reset(next)
	}
}

func (m *Monitor) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// processChanged makes the probes of processes due at once.
func (m *Monitor) processChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastEvent = m.now()
	for _, p := range m.probes {
		if p.Component != "" {
			p.due, p.rerun = time.Time{}, true
		}
	}
}

// takeDue returns the probes to ask now, and the time until the next is due.
func (m *Monitor) takeDue() ([]*probeState, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, next := m.now(), defaultEvery
	var due []*probeState
	for _, p := range m.probes {
		switch {
		case p.Disabled || p.running:
		case !p.due.After(now):
			p.running, p.rerun = true, false
			due = append(due, p)
		default:
			next = min(next, p.due.Sub(now))
		}
	}
	return due, next
}

// ask runs one check and takes down the answer. Where there is doubt, it asks as well whether there is any.
func (m *Monitor) ask(ctx context.Context, p *probeState) {
	m.mu.Lock()
	asked, pid, doubt := m.now(), p.pid, p.Alive != nil && p.failures > 0
	m.mu.Unlock()
	deadline, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	var life error
	var asking sync.WaitGroup
	if doubt {
		asking.Go(func() { life = p.Alive(deadline) })
	}
	err := p.Check(deadline)
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	if (doubt || err == nil) && pid == p.pid {
		p.heard(life, asked)
	}
	m.answered(p, err)
	m.mu.Unlock()
	m.poke()
}

// answered decides what an answer means and when to ask again.
func (m *Monitor) answered(p *probeState, err error) {
	now := m.now()
	p.running = false
	switch {
	case errors.Is(err, ErrInconclusive):
		p.due = now.Add(max(p.RetryEvery, patientEvery))
		return
	case err == nil:
		p.failures, p.err, p.asked = 0, nil, true
		p.due = now.Add(p.Every)
	case p.rerun && !p.asked:
		// The question is older than the change, so its answer is, too.
	default:
		p.failures++
		if p.err != nil || p.failures >= failuresBeforeFalse || p.Component == "" {
			p.err, p.asked = err, true
		}
		retry := p.RetryEvery
		if now.Sub(m.lastEvent) > eagerFor && p.failures >= failuresBeforeFalse {
			retry = max(retry, patientEvery)
		}
		p.due = now.Add(retry)
	}
	if p.rerun {
		p.due = time.Time{}
	}
}

// settle derives the conditions anew and tells the readers when they changed. It returns the processes that hang.
func (m *Monitor) settle() []*Hang {
	components := map[string]*fleetv1.ComponentStatus{}
	for _, status := range m.processes.Status() {
		components[status.Name] = &status
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.probes) == 0 {
		return nil
	}
	var hanging []*Hang
	now := m.now()
	next := slices.Clone(m.conditions)
	next = slices.DeleteFunc(next, func(c metav1.Condition) bool {
		return !slices.ContainsFunc(m.probes, func(p *probeState) bool { return p.Condition == c.Type })
	})
	for _, p := range m.probes {
		p.follow(components[p.Component])
		life := m.life(p, components[p.Component], now)
		if hang := life.Hang(); hang != nil {
			hanging = append(hanging, hang)
		}
		c := p.Judge(Evidence{
			Component: components[p.Component], NotReady: m.notReady(components[p.Component]),
			Asked: p.asked, Err: p.err, Started: p.started, Silence: life.Notice(), Exhausted: m.exhausted(components[p.Component]), Now: now,
		})
		c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second)) // which changes only with the status
		meta.SetStatusCondition(&next, c)
	}
	if slices.Equal(next, m.conditions) {
		return hanging
	}
	m.log.V(1).Info("Saw the node's health change", "unhealthy", unhealthy(next))
	m.conditions = next
	for _, reader := range m.readers {
		select {
		case reader <- struct{}{}:
		default:
		}
	}
	return hanging
}

// life is what is known of whether a probe's process lives.
func (m *Monitor) life(p *probeState, component *fleetv1.ComponentStatus, now time.Time) Life {
	l := Life{Component: component, Tolerance: p.Tolerance, Silent: p.silent, Unanswered: p.unanswered, Chance: p.chance, Now: now}
	if !p.silent.IsZero() {
		l.Hangs, l.Hung = m.processes.Hangs(p.Component)
	}
	return l
}

func (m *Monitor) notReady(component *fleetv1.ComponentStatus) string {
	if component == nil {
		return ""
	}
	return m.processes.NotReady(component.Name)
}

func (m *Monitor) exhausted(component *fleetv1.ComponentStatus) string {
	if component == nil {
		return ""
	}
	return m.processes.Exhausted(component.Name)
}

// unhealthy are the conditions that are not True.
func unhealthy(conditions []metav1.Condition) []string {
	var bad []string
	for _, c := range conditions {
		if c.Status != metav1.ConditionTrue {
			bad = append(bad, c.Type+": "+c.Message)
		}
	}
	return bad
}
