package report

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// heartbeatEvery is the mean time between a write and the heartbeat after it when there is nothing else to be written; each
	// comes up to a tenth earlier or later.
	heartbeatEvery = 5 * time.Minute
	// illHeartbeatEvery is the same while the node is not well: whoever may have the agent mend it has to know that it is heard.
	illHeartbeatEvery = 90 * time.Second
	// gather is how long changes that come together are waited for; nobody notices, and joining needs fewer writes.
	gather = 50 * time.Millisecond
	// watchPatience is how long the watch may take to show a write of our own. What it shows meanwhile is older, and no
	// evidence of what the object has.
	watchPatience = 10 * time.Second
)

// retries are the waits after a write that failed.
var retries = backoff.Doubling(500*time.Millisecond, 30*time.Second)

// Writer applies a JSON merge patch to a NodeAgent's status, and returns what became of the object.
type Writer interface {
	PatchNodeAgentStatus(ctx context.Context, name string, patch []byte) (*v1alpha1.NodeAgent, error)
}

// Reporter owns the status of one NodeAgent.
type Reporter struct {
	// Node is the NodeAgent's name.
	Node string
	Log  logr.Logger
	// Clock is the real one, but in tests.
	Clock clock.Clock
	// Written, when set, is called after each write with the number of bytes.
	Written func(bytes int)
	// Answered, when it is set, is called when the API server takes a write again after tries that it did not answer.
	Answered func()

	budget     *budget // of another size in tests
	unanswered atomic.Bool
	refusal    atomic.Pointer[error] // what the last try was refused with, nil for it was not
	away       bool                  // there was no answer since the last write that was taken; Run's alone

	mu     sync.Mutex
	status v1alpha1.NodeAgentStatus
	known  bool // Update was called, so that what is empty is so
	// seen is the object as it was seen last, nil when that was looked at.
	seen *v1alpha1.NodeAgent

	once    sync.Once
	changed chan struct{}
	retry   chan struct{}
}

func (r *Reporter) init() {
	r.once.Do(func() {
		r.changed, r.retry = make(chan struct{}, 1), make(chan struct{}, 1)
		if r.budget == nil {
			r.budget = newBudget()
		}
	})
}

// Unanswered says that the last try to write had no answer from the API server.
func (r *Reporter) Unanswered() bool { return r.unanswered.Load() }

// Refused is what the API server refused the last try to write with; nil where it took that, or did not answer.
func (r *Reporter) Refused() error {
	if err := r.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// tried takes down whether the API server answered.
func (r *Reporter) tried(err error) {
	silent := err != nil && !errors.As(err, new(apierrors.APIStatus))
	r.unanswered.Store(silent)
	r.refusal.Store(nil)
	if err != nil && !silent {
		r.refusal.Store(&err)
	}
	r.away = r.away || silent
	if err != nil || !r.away {
		return // one that is just back may refuse the first tries
	}
	r.away = false
	if r.Answered != nil {
		r.Answered()
	}
}

// Update changes the status and has it written. It never blocks on the network.
func (r *Reporter) Update(change func(*v1alpha1.NodeAgentStatus)) {
	r.init()
	r.mu.Lock()
	change(&r.status)
	r.known = true
	r.mu.Unlock()
	signal(r.changed)
}

// Saw takes down the object as the API has it. A write that waits for it is tried at once, and a status that is not what
// this agent would have it is written: somebody edited it, made the object anew, or restored an older one.
func (r *Reporter) Saw(agent *v1alpha1.NodeAgent) {
	r.init()
	r.mu.Lock()
	r.seen = agent
	r.mu.Unlock()
	signal(r.retry)
	signal(r.changed)
}

// Seed takes over the conditions that an earlier agent wrote: those that hold unchanged keep their times. It does not
// have anything written.
func (r *Reporter) Seed(earlier []metav1.Condition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.Conditions == nil {
		r.status.Conditions = slices.Clone(earlier)
		return
	}
	for _, old := range earlier {
		for i := range r.status.Conditions {
			if c := &r.status.Conditions[i]; c.Type == old.Type && c.Status == old.Status && old.LastTransitionTime.Before(&c.LastTransitionTime) {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is due already
	}
}

// Run writes until the context ends.
func (r *Reporter) Run(ctx context.Context, api Writer) {
	r.init()
	w := writer{Reporter: r, api: api, altered: map[string]alteration{}}
	beat := r.Clock.NewTimer(0)
	defer beat.Stop()
	doubt := r.Clock.NewTimer(watchPatience)
	defer doubt.Stop()
	for {
		heartbeat := false
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
			if !w.sleep(ctx, gather) {
				return
			}
		case <-doubt.C():
		case <-beat.C():
			heartbeat = true
		}
		before := w.wrote
		if !w.write(ctx, heartbeat) {
			return
		}
		if heartbeat || w.wrote != before { // which is as good as one
			beat.Reset(jittered(w.beatsEvery()))
		}
		if w.awaited != "" {
			doubt.Reset(watchPatience)
		}
	}
}

func (r *Reporter) beatsEvery() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := meta.FindStatusCondition(r.status.Conditions, v1alpha1.ReadyCondition); c != nil && c.Status != metav1.ConditionTrue {
		return illHeartbeatEvery
	}
	return heartbeatEvery
}

func jittered(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// writer is one Run of a Reporter.
type writer struct {
	*Reporter
	api Writer
	// last is what the object has as far as is known; nil for nothing.
	last *v1alpha1.NodeAgentStatus
	// heartbeat is the last one written.
	heartbeat metav1.Time
	// uid, awaited and wrote are of the last write: the object's UID, the resource version that it got, empty when it was
	// seen since, and when that was.
	uid     types.UID
	awaited string
	wrote   time.Time
	// altered are fields that the API server stores otherwise than they were sent.
	altered map[string]alteration
	// refused is what the API server would not take, nil for nothing.
	refused *refusal
}

// write makes the object's status the newest one, trying until it is; false says that the context ended.
func (w *writer) write(ctx context.Context, heartbeat bool) bool {
	for waits := retries; ; {
		status, known := w.newest()
		if !known && !heartbeat {
			return true
		}
		data, err := patch(w.from(known), w.fit(status), w.altered)
		if err != nil {
			w.Log.Error(err, "Failed to encode the status")
			return true
		}
		if data == nil && !heartbeat {
			return true
		}
		if wait := w.budget.wait(w.Clock.Now()); wait > 0 {
			if !w.sleep(ctx, wait) {
				return false
			}
			continue // it may have gone on while the budget was short, or back
		}
		status.HeartbeatTime = metav1.NewTime(w.Clock.Now().Truncate(time.Second))
		if err = w.send(ctx, w.fit(status), known); err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if known && apierrors.IsInvalid(err) && w.refuse(status, err) {
			w.Log.Error(err, "Left out of the report what the API server may have refused", "nodeAgent", w.Node)
			continue
		}
		if !apierrors.IsNotFound(err) {
			w.Log.Error(err, "Failed to report", "nodeAgent", w.Node)
		}
		if !w.waitToRetry(ctx, waits.Step()) {
			return false
		}
	}
}

// send makes the object's status this one.
func (w *writer) send(ctx context.Context, status v1alpha1.NodeAgentStatus, known bool) error {
	data, err := patch(w.from(known), status, w.altered)
	if err != nil || data == nil {
		return err
	}
	agent, err := w.api.PatchNodeAgentStatus(ctx, w.Node, data)
	w.tried(err)
	if err != nil {
		return err
	}
	w.budget.spend(w.Clock.Now())
	w.heartbeat, w.uid, w.awaited, w.wrote = status.HeartbeatTime, agent.UID, agent.ResourceVersion, w.Clock.Now()
	if known {
		w.last = &agent.Status
		err = w.compare(data, status)
	}
	if w.Written != nil {
		w.Written(len(data))
	}
	return err
}

// compare takes down which fields of a patch the API server stored otherwise, such as those that its definition of the
// kind does not know yet. To send them again would change nothing, however often.
func (w *writer) compare(data []byte, status v1alpha1.NodeAgentStatus) error {
	sent, err := sentFields(data, status)
	if err != nil {
		return err
	}
	stored, err := fields(*w.last)
	if err != nil {
		return err
	}
	for name, value := range sent {
		if bytes.Equal(stored[name], value) {
			delete(w.altered, name)
			continue
		}
		w.altered[name] = alteration{sent: value, stored: stored[name]}
		w.Log.Info("The API server stored a part of the status otherwise than it was sent", "nodeAgent", w.Node, "field", name)
	}
	return nil
}

// observe takes the object that was seen last for what it has, unless that was before the last write as far as is known.
// Resource versions are not put in order: those of a restored cluster begin anew.
func (w *writer) observe() {
	if w.seen == nil {
		return
	}
	early := w.Clock.Since(w.wrote) < watchPatience
	if w.awaited != "" && w.seen.UID == w.uid && w.seen.ResourceVersion != w.awaited && early {
		return
	}
	w.last, w.awaited, w.seen = w.seen.Status.DeepCopy(), "", nil
}

// from is what to take as the status that the object has. A heartbeat that comes before anything is known must not take
// away what an earlier agent knew.
func (w *writer) from(known bool) *v1alpha1.NodeAgentStatus {
	if !known {
		return &v1alpha1.NodeAgentStatus{}
	}
	return w.last
}

// newest is a copy of the status with the heartbeat of the last write, so that it alone is no difference, and whether
// what it lacks is known to be none.
func (w *writer) newest() (status v1alpha1.NodeAgentStatus, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observe()
	if !w.known {
		return v1alpha1.NodeAgentStatus{}, false
	}
	status = *w.status.DeepCopy()
	switch {
	case !w.heartbeat.IsZero():
		status.HeartbeatTime = w.heartbeat
	case w.last != nil: // an earlier agent's
		status.HeartbeatTime = w.last.HeartbeatTime
	}
	return status, true
}

func (w *writer) waitToRetry(ctx context.Context, d time.Duration) bool {
	timer := w.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-w.retry:
	case <-timer.C():
	}
	return true
}

func (w *writer) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := w.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
