package report

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// writeEvery and writeBurst are the write budget: a node that flaps writes 12 times a minute at most.
	writeEvery = 5 * time.Second
	writeBurst = 10
	// heartbeatEvery is the mean time between heartbeats; each comes up to a tenth earlier or later.
	heartbeatEvery = 5 * time.Minute
	// gather is how long changes that come together are waited for; nobody notices, and joining needs fewer writes.
	gather = 50 * time.Millisecond
	// firstRetry and lastRetry bound the wait after a write that failed.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Writer applies a JSON merge patch to a NodeAgent's status.
type Writer interface {
	PatchNodeAgentStatus(ctx context.Context, name string, patch []byte) error
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

	mu     sync.Mutex
	status v1alpha1.NodeAgentStatus
	known  bool // Update was called, so that what is empty is so
	uid    types.UID
	anew   bool

	once    sync.Once
	changed chan struct{}
	retry   chan struct{}
}

func (r *Reporter) init() {
	r.once.Do(func() { r.changed, r.retry = make(chan struct{}, 1), make(chan struct{}, 1) })
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

// Exists says that the NodeAgent was seen: a write that waits for it is tried at once. One that was made anew gets
// the whole status again.
func (r *Reporter) Exists(uid types.UID) {
	r.init()
	r.mu.Lock()
	anew := r.uid != "" && r.uid != uid
	r.uid, r.anew = uid, r.anew || anew
	r.mu.Unlock()
	signal(r.retry)
	if anew {
		signal(r.changed)
	}
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
	w := writer{Reporter: r, api: api, limit: rate.NewLimiter(rate.Every(writeEvery), writeBurst)}
	beat := r.Clock.NewTimer(0)
	defer beat.Stop()
	for {
		heartbeat := false
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
			if !w.sleep(ctx, gather) {
				return
			}
		case <-beat.C():
			heartbeat = true
		}
		if !w.write(ctx, heartbeat) {
			return
		}
		if heartbeat {
			beat.Reset(jittered(heartbeatEvery))
		}
	}
}

func jittered(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// writer is one Run of a Reporter.
type writer struct {
	*Reporter
	api   Writer
	limit *rate.Limiter
	// last is what the object has as far as is known; nil for nothing.
	last *v1alpha1.NodeAgentStatus
	// refused is what the API server would not take, nil for nothing.
	refused *refusal
}

// write makes the object's status the newest one, trying until it is; false says that the context ended.
func (w *writer) write(ctx context.Context, heartbeat bool) bool {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		status, known := w.newest()
		data, err := patch(w.from(known), w.fit(status))
		if err != nil {
			w.Log.Error(err, "Failed to encode the status")
			return true
		}
		if data == nil && !heartbeat {
			return true
		}
		if !w.sleep(ctx, w.limit.ReserveN(w.Clock.Now(), 1).DelayFrom(w.Clock.Now())) {
			return false
		}
		status, known = w.newest() // it may have gone on while the budget was short
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
		if !w.waitToRetry(ctx, wait) {
			return false
		}
	}
}

// send makes the object's status this one.
func (w *writer) send(ctx context.Context, status v1alpha1.NodeAgentStatus, known bool) error {
	data, err := patch(w.from(known), status)
	if err == nil && data != nil {
		err = w.api.PatchNodeAgentStatus(ctx, w.Node, data)
	}
	if err != nil {
		return err
	}
	if known {
		w.last = &status
	}
	if w.Written != nil {
		w.Written(len(data))
	}
	return nil
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
	if w.anew {
		w.last, w.anew = nil, false
	}
	status = *w.status.DeepCopy()
	if w.last != nil {
		status.HeartbeatTime = w.last.HeartbeatTime
	}
	return status, w.known
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
