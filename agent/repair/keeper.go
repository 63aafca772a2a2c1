package repair

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Keeper does what is asked for, one request after the other.
type Keeper struct {
	// Path is where it is noted. It outlives a reboot.
	Path string
	// Rungs are what can be asked for. Each says what it did. One whose context ends before it is done says nothing: the next agent does.
	Rungs map[v1alpha1.RepairRung]func(context.Context) (did string, err error)
	// Boot tells the machine's boots apart, and Booted is when this one began, by the clock as it is now; zero where that is not known.
	Boot   string
	Booted func() time.Time
	// Rest keeps anything else from being changed on the machine until Resume. It says whether that is so: it is not while something is
	// changed, which what is asked for would disturb. A request waits for the end of that.
	Rest   func() bool
	Resume func()
	// Now is the time, and Ahead how far the clock by which requests are dated is ahead of that; zero where that cannot be found out.
	Now   func() time.Time
	Ahead func(context.Context) time.Duration
	// Changed is called when what Answer says has changed.
	Changed func()
	Log     logr.Logger

	mu     sync.Mutex
	record record
	broken error // why nothing can be known of what was done
	wanted *v1alpha1.RepairRequest
	news   chan struct{}
	once   sync.Once
}

// Want takes in what is asked for, nil for nothing.
func (k *Keeper) Want(request *v1alpha1.RepairRequest) {
	k.load()
	k.mu.Lock()
	k.wanted = request.DeepCopy()
	k.mu.Unlock()
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// Answer is what became of the request that was looked at last; nil for none.
func (k *Keeper) Answer() *v1alpha1.RepairAnswer {
	k.load()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.record.answer()
}

// Run does what is asked for until the context ends. It is called once.
func (k *Keeper) Run(ctx context.Context) {
	k.load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.news:
		}
		k.mu.Lock()
		request, last := k.wanted, k.record
		k.mu.Unlock()
		if !last.begins(request) {
			continue
		}
		ahead := k.Ahead(ctx)
		if request.RequestedAt.After(k.Now().Add(ahead + farAhead)) {
			k.Log.Info("Passed over a request of the future, after which no other would be later", "rung", request.Rung, "requestedAt", request.RequestedAt)
			continue
		}
		next := record{Rung: request.Rung, RequestedAt: request.RequestedAt, Boot: k.Boot, BegunAt: k.now()}
		if k.broken != nil {
			k.show(k.ended(next, v1alpha1.RepairFailed, k.broken.Error()))
			continue
		}
		k.take(ctx, next, request.ExpiresAt.Add(-ahead), ahead)
	}
}

// farAhead is how much later than now a request may be dated.
const farAhead = time.Minute

// isWanted says that nobody has asked for something else since, or for nothing.
func (k *Keeper) isWanted(r record) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wanted != nil && k.wanted.RequestedAt.Equal(&r.RequestedAt)
}

// take does what is asked for, unless it is too late, or done by somebody else, or cannot be noted. It expires by the machine's clock; the
// one by which it was dated is so far ahead.
func (k *Keeper) take(ctx context.Context, next record, expires time.Time, ahead time.Duration) {
	rests, waited := k.wait(ctx, next, expires)
	if rests {
		defer k.Resume()
	}
	next.BegunAt = k.now()
	if ctx.Err() != nil || !k.isWanted(next) {
		return
	}
	if state, why := k.undone(next, expires, ahead, waited); state != "" {
		k.note(k.ended(next, state, why))
		return
	}
	begun := k.ended(next, v1alpha1.RepairBegun, "")
	if err := begun.write(k.Path); err != nil {
		k.show(k.ended(next, v1alpha1.RepairFailed, err.Error()))
		return
	}
	k.show(begun)
	k.Log.Info("Began to repair this machine, as the manager asks", "rung", next.Rung, "requestedAt", next.RequestedAt)
	did, err := k.Rungs[next.Rung](ctx)
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil:
		k.note(k.ended(next, v1alpha1.RepairFailed, err.Error()))
	default:
		k.note(k.ended(next, v1alpha1.RepairDone, did))
	}
}

// undone is what becomes of a request that is not done, and why; empty for one that is.
func (k *Keeper) undone(next record, expires time.Time, ahead time.Duration, waited bool) (state v1alpha1.RepairState, why string) {
	switch {
	case k.Now().After(expires) && waited:
		return v1alpha1.RepairExpired, "Something else was changed on the machine until after " + expires.UTC().Format(time.RFC3339)
	case k.Now().After(expires):
		return v1alpha1.RepairExpired, "It was heard of after " + expires.UTC().Format(time.RFC3339)
	case next.Rung == v1alpha1.RepairReboot && k.hasBooted(next.RequestedAt.Add(-ahead)):
		return v1alpha1.RepairDone, "The machine was booted at " + k.Booted().UTC().Format(time.RFC3339) + ", after that was asked for"
	case k.Rungs[next.Rung] == nil:
		return v1alpha1.RepairFailed, fmt.Sprintf("This agent knows no %s", next.Rung)
	default:
		return "", ""
	}
}

// hasBooted says that this boot began since. A clock that was set back since has no say.
func (k *Keeper) hasBooted(since time.Time) bool {
	booted := k.Booted()
	return booted.After(since) && !booted.After(k.Now())
}

// wait returns when nothing else is changed on the machine, and is kept from being, or it is too late, or something else is asked for. It
// says whether anything was changed.
func (k *Keeper) wait(ctx context.Context, next record, expires time.Time) (rests, waited bool) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !k.Now().After(expires) && k.isWanted(next) {
		if k.Rest() {
			return true, waited
		}
		waited = true
		select {
		case <-ctx.Done():
			return false, waited
		case <-tick.C:
		}
	}
	return false, waited
}

// note keeps what became of a request. It counts also where that cannot be written: the file has it as begun then.
func (k *Keeper) note(r record) {
	if err := r.write(k.Path); err != nil {
		k.Log.Error(err, "Kept it in memory alone", "rung", r.Rung, "state", r.State)
	}
	k.Log.Info("Answered a request to repair this machine", "rung", r.Rung, "requestedAt", r.RequestedAt, "state", r.State, "message", r.Message)
	k.show(r)
}

func (k *Keeper) show(r record) {
	k.mu.Lock()
	changed := k.record != r
	k.record = r
	k.mu.Unlock()
	if changed {
		k.Changed()
	}
}

func (k *Keeper) ended(r record, state v1alpha1.RepairState, message string) record {
	r.State, r.Message, r.Time = state, message, k.now()
	return r
}

func (k *Keeper) now() metav1.Time { return metav1.NewTime(k.Now().Truncate(time.Second)) }

// load reads what an earlier agent left.
func (k *Keeper) load() {
	k.once.Do(func() {
		k.news = make(chan struct{}, 1)
		r, err := read(k.Path)
		if err != nil {
			k.Log.Error(err, "Took no requests to repair this machine: remove that file and restart the agent to have them taken", "path", k.Path)
		}
		now := r.after(k.Boot, k.now())
		if now != r {
			// Or a later boot would take itself for the one that was asked for.
			if err := now.write(k.Path); err != nil {
				k.Log.Error(err, "Kept it in memory alone", "rung", now.Rung, "state", now.State)
			}
		}
		k.mu.Lock()
		k.record, k.broken = now, err
		k.mu.Unlock()
	})
}
