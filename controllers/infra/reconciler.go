package infra

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/consistency"
	"github.com/drover-dev/drover/controllers/firstseen"
)

const (
	// patience is how long a machine may wait for others before its status says so: most waits are shorter, and
	// each status is a write.
	patience = 10 * time.Second
	// problemRetry is how soon a machine that a user must help is tried again.
	problemRetry = 15 * time.Second
	// ReconcileTimeout bounds one machine's reconcile, its removal included; where the provider takes longer, the rest of it.
	ReconcileTimeout = 90 * time.Second
)

// Reconciler makes each machine of a provider's kind real.
type Reconciler[M client.Object] struct {
	// Client reads through the manager's cache and writes.
	Client client.Client
	// APIReader reads live: bootstrap Secrets are not cached.
	APIReader client.Reader
	// Recorder takes the events.
	Recorder events.EventRecorder
	// Provider makes the machines.
	Provider Provider[M]
	// Published brings machines back whose bootstrap Secret was written. Without it they are looked at now and then.
	Published *Published
	// Watch adds what else brings a machine back, if anything.
	Watch func(*ctrl.Builder)
	// MaxConcurrentReconciles is how many machines are worked on at once. Default: 10.
	MaxConcurrentReconciles int
	// Timeout bounds each of the provider's calls. Default: ReconcileTimeout.
	Timeout time.Duration
	// Clock tells how long a machine waits. Default: the real one.
	Clock clock.PassiveClock

	written   consistency.Objects
	seen      firstseen.Times[types.NamespacedName, sighting]
	deletions deletions
}

// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=clusters;machines,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler[M]) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	// What the provider came to is written when its own time is over, too.
	ctx, cancel := context.WithTimeout(ctx, r.timeout()+ReconcileTimeout)
	defer cancel()
	wanted, done := r.deletions.begin(ctx, req.NamespacedName)
	defer done()
	m := r.Provider.Kind().New()
	if err := r.Client.Get(ctx, req.NamespacedName, m); err != nil {
		if !apierrors.IsNotFound(err) {
			return ctrl.Result{}, fmt.Errorf("read %s %s: %w", r.Provider.Kind().Name, req, err)
		}
		r.written.Forget(req.NamespacedName)
		r.seen.Forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if r.written.IsOlder(m) {
		// The cache has yet to see our last write, whose event brings us back.
		return ctrl.Result{RequeueAfter: consistency.Patience}, nil
	}
	owners, err := r.owners(ctx, m)
	if err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case owners.paused(m):
		return ctrl.Result{}, nil
	case !m.GetDeletionTimestamp().IsZero():
		terminating, err := r.terminating(ctx, m, owners.machine)
		if err != nil {
			return ctrl.Result{}, err
		}
		if wait := awaitDrain(owners.machine, terminating, r.age(m)); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		return r.remove(ctx, m)
	}
	result, err := r.provision(wanted, m, owners)
	if wanted.Err() != nil && ctx.Err() == nil {
		// It is deleted now, and what it failed at is no news any more. The event brings us back, and is not relied upon:
		// where a machine of the same name took the place of one that went, it may have come before.
		ctrl.LoggerFrom(ctx).Info("Stopped making a machine that is deleted")
		return ctrl.Result{RequeueAfter: consistency.Patience}, nil
	}
	return result, err
}

// remove takes the machine apart, then lets go of the object.
func (r *Reconciler[M]) remove(ctx context.Context, m M) (ctrl.Result, error) {
	finalizer := r.Provider.Kind().Finalizer
	if !controllerutil.ContainsFinalizer(m, finalizer) {
		return ctrl.Result{}, nil
	}
	before := copyOf(m)
	var removal Removal
	err := r.bounded(ctx, func(ctx context.Context) (err error) {
		removal, err = r.Provider.Remove(ctx, m)
		return err
	})
	if err != nil {
		r.warn(m, v1alpha1.ReasonDeleting, err.Error())
		return ctrl.Result{}, err
	}
	if !removal.Gone {
		seen := State{Reason: removal.Reason, Message: removal.Message, Waiting: removal.Waiting}
		return ctrl.Result{RequeueAfter: removal.RequeueAfter}, r.report(ctx, before, m, seen)
	}
	return ctrl.Result{}, r.patch(ctx, m, func() { controllerutil.RemoveFinalizer(m, finalizer) })
}

// provision brings the machine to run and says how it is.
func (r *Reconciler[M]) provision(ctx context.Context, m M, owners owners) (ctrl.Result, error) {
	var document []byte
	if !isTrue(*r.contract(m).Provisioned) {
		var wait *State
		var err error
		if document, wait, err = r.bootstrap(ctx, m, owners); err != nil {
			return r.failed(ctx, copyOf(m), m, err)
		}
		if wait != nil {
			return r.wait(ctx, m, *wait)
		}
	}
	if err := r.claim(ctx, m); err != nil {
		return ctrl.Result{}, err
	}
	before := copyOf(m)
	var state State
	err := r.bounded(ctx, func(ctx context.Context) (err error) {
		state, err = r.Provider.Ensure(ctx, m, document)
		return err
	})
	if err != nil {
		return r.failed(ctx, before, m, err)
	}
	for _, e := range state.Happened {
		r.event(m, corev1.EventTypeNormal, e.Reason, e.Message)
	}
	if state.Reason == v1alpha1.ReasonProvisioned && !owners.joined() {
		if problem := r.bootProblem(ctx, m); problem != nil {
			state.Reason, state.Message = problem.Reason, problem.Message
		}
		state.RequeueAfter = soonest(state.RequeueAfter, askAgain(r.age(m)))
	}
	return ctrl.Result{RequeueAfter: state.RequeueAfter}, r.report(ctx, before, m, state)
}

// bounded gives a call of the provider's its time.
func (r *Reconciler[M]) bounded(ctx context.Context, call func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	err := call(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("it did not end within %s: %w", r.timeout(), err)
	}
	return err
}

func (r *Reconciler[M]) timeout() time.Duration {
	if r.Timeout == 0 {
		return ReconcileTimeout
	}
	return r.Timeout
}

// soonest is the shorter of two waits, of which the first may be for ever.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// claim marks the object as having something that must be removed, before there is anything, and gives it its identity.
func (r *Reconciler[M]) claim(ctx context.Context, m M) error {
	id, finalizer := r.providerID(m), r.Provider.Kind().Finalizer
	if *r.contract(m).ProviderID == id && controllerutil.ContainsFinalizer(m, finalizer) {
		return nil
	}
	return r.patch(ctx, m, func() {
		controllerutil.AddFinalizer(m, finalizer)
		*r.contract(m).ProviderID = id
	})
}

func (r *Reconciler[M]) providerID(m M) string {
	return r.Provider.Kind().ProviderIDPrefix + m.GetNamespace() + "/" + m.GetName()
}

func (r *Reconciler[M]) contract(m M) Contract { return r.Provider.Kind().Contract(m) }

// failed reports an error. What only a user can mend is tried again now and then, the rest with the queue's backoff.
func (r *Reconciler[M]) failed(ctx context.Context, before, m M, err error) (ctrl.Result, error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctrl.Result{}, err // the manager ends, and the next one will see for itself; or the machine is deleted
	}
	var problem *Problem
	if errors.As(err, &problem) {
		return ctrl.Result{RequeueAfter: problemRetry}, r.report(ctx, before, m, State{Reason: problem.Reason, Message: problem.Message})
	}
	return ctrl.Result{}, errors.Join(err, r.report(ctx, before, m, State{Reason: v1alpha1.ReasonProvisionFailed, Message: err.Error()}))
}

// age is how long this manager has seen the machine be there, or be deleted, by its own clock: the times in the object are
// by the API server's.
func (r *Reconciler[M]) age(m M) time.Duration {
	now, deleted := time.Now(), !m.GetDeletionTimestamp().IsZero()
	if r.Clock != nil {
		now = r.Clock.Now()
	}
	return now.Sub(r.seen.At(client.ObjectKeyFromObject(m), sighting{uid: m.GetUID(), deleted: deleted}, now))
}

// sighting is a machine as far as its age goes: one that is deleted is as old as its deletion.
type sighting struct {
	uid     types.UID
	deleted bool
}

// wait reports what the machine waits for, once that takes long. An event ends the wait.
func (r *Reconciler[M]) wait(ctx context.Context, m M, what State) (ctrl.Result, error) {
	if age := r.age(m); age < patience {
		return ctrl.Result{RequeueAfter: patience - age}, nil
	}
	return ctrl.Result{RequeueAfter: patience}, r.report(ctx, copyOf(m), m, what)
}
