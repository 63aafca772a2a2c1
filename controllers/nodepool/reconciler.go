package nodepool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/consistency"
	"github.com/drover-dev/drover/controllers/firstseen"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/sides"
	"github.com/drover-dev/drover/controllers/stop"
)

// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools/status,verbs=patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools/finalizers,verbs=update
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodebundles,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodeagents,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hostmachinetemplates;localmachinetemplates,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hostmachines;localmachines,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=clusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Discoverer finds out what nodes must know about their cluster.
type Discoverer interface {
	Discover(ctx context.Context) (v1alpha1.ClusterSettings, error)
}

// DiscovererFunc is a function that is a Discoverer.
type DiscovererFunc func(ctx context.Context) (v1alpha1.ClusterSettings, error)

// Discover calls the function.
func (f DiscovererFunc) Discover(ctx context.Context) (v1alpha1.ClusterSettings, error) {
	return f(ctx)
}

const (
	// defaultCreateConcurrency is how many machines are made or deleted at a time. The API server's own limit for
	// one client is above that.
	defaultCreateConcurrency = 20
	// retryBehind is how soon a pool is looked at again whose cache does not show our own writes yet. The event that
	// shows them comes sooner as a rule.
	retryBehind = 100 * time.Millisecond
	// retryRefused is how soon a create is tried again that the API server refused for good, as a user may have
	// changed a quota, a policy or a template that is not watched.
	retryRefused = 30 * time.Second
)

// Reconciler brings the machines of NodePools to what their specs say.
type Reconciler struct {
	// Client reads from the manager's cache and writes. This is the management side.
	Client client.Client
	// APIReader reads from the API server.
	APIReader client.Reader
	// Workload has the NodeAgents. Default: the management side.
	Workload sides.Side
	// Discoverer is asked whether machines that are to be made can be told about their cluster.
	Discoverer Discoverer
	// Drainer empties nodes that are changed in a way that pods do not survive.
	Drainer Drainer
	// Stop says whether the fleet is stopped. Default: it never is.
	Stop *stop.Switch
	// ServerVersion knows how new the nodes' API server is. Default: it is new enough.
	ServerVersion *ServerVersion
	// Recorder gets the pools' events.
	Recorder events.EventRecorder
	// Clock is the time. Default: the real one.
	Clock clock.PassiveClock
	// CreateConcurrency is how many machines are made or deleted at a time. Default: 20.
	CreateConcurrency int

	written  consistency.Children[*clusterv1.Machine]
	agents   consistency.Objects
	machines consistency.Objects // whose spec was written
	refusals refusals
	// clusterless has since when each pool, by its UID, is without the Cluster that it needs.
	clusterless firstseen.Times[types.NamespacedName, types.UID]
	said        consistency.Statuses[v1alpha1.NodePoolStatus]
	untold      untold
	stuck       stuckDrains
	draining    drainTimes
	listening   listening
	templates   *templateWatches
	// indexed says that Client has the indexes poolField and leavingField.
	indexed bool
	// foresees says that nothing is done, by nobody who could have listened.
	foresees bool
}

// Reconcile runs one round for one pool.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	pool := &v1alpha1.NodePool{}
	if err := r.Client.Get(ctx, request.NamespacedName, pool); err != nil {
		if apierrors.IsNotFound(err) {
			r.written.Forget(request.NamespacedName)
			r.refusals.forget(request.NamespacedName)
			r.clusterless.Forget(request.NamespacedName)
			r.said.Forget(request.NamespacedName)
			deferredActions.set(request.NamespacedName, nil)
			r.untold.forget(request.NamespacedName)
			r.listening.forget(request.NamespacedName)
			return ctrl.Result{}, r.releaseOrphans(ctx, request.NamespacedName, nil)
		}
		return ctrl.Result{}, fmt.Errorf("read NodePool %s: %w", request, err)
	}
	if !pool.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(pool, v1alpha1.NodePoolFinalizer) {
		// Somebody took our finalizer. What else keeps the pool may be that its Machines must go first.
		deferredActions.set(request.NamespacedName, nil)
		return ctrl.Result{}, r.releaseOrphans(ctx, request.NamespacedName, nil)
	}
	result, err := r.round(ctx, pool)
	if err != nil && onlyConflicts(err) {
		// Somebody else wrote first. What he wrote may be nothing that an event is raised for.
		return ctrl.Result{RequeueAfter: retryBehind}, nil
	}
	return result, err
}

// round observes, plans, applies and reports.
func (r *Reconciler) round(ctx context.Context, pool *v1alpha1.NodePool) (ctrl.Result, error) {
	if err := r.ensureFinalizer(ctx, pool); err != nil {
		return ctrl.Result{}, err
	}
	seen, plan, err := r.decide(ctx, pool)
	if err != nil {
		return ctrl.Result{}, err
	}
	if seen.CacheBehind != "" {
		ctrl.LoggerFrom(ctx).V(1).Info("Deferred until the cache shows our own writes", "behind", seen.CacheBehind)
		return ctrl.Result{RequeueAfter: retryBehind}, nil
	}
	if plan.Finalize {
		return r.finalize(ctx, seen)
	}
	if err := r.releaseOrphans(ctx, client.ObjectKeyFromObject(seen.Pool), seen.Pool); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.learn(ctx, seen); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.drainAnew(ctx, seen); err != nil {
		return ctrl.Result{}, err
	}
	outcome, applyErr := r.apply(ctx, seen, plan)
	// Should somebody else have written first, what was done besides is told all the same.
	if err := errors.Join(applyErr, r.report(ctx, seen, plan, outcome)); err != nil {
		return ctrl.Result{}, err
	}
	after := plan.RequeueAfter
	switch {
	case len(outcome.Drains) > 0:
		after = drainAgain(outcome.Drains, seen.Now)
	case len(plan.Of(planner.Uncordon)) > 0:
		after = retryBehind // what we read of Nodes raises no event here
	}
	if len(outcome.Failures)+len(outcome.UpdateFailures) > 0 {
		after = retryRefused
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// onlyConflicts says that somebody else wrote first, and that nothing else is wrong.
func onlyConflicts(err error) bool {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return apierrors.IsConflict(err)
	}
	return !slices.ContainsFunc(joined.Unwrap(), func(one error) bool { return !onlyConflicts(one) })
}

// mostObservations is how often a round observes: from the cache, with what that showed to be needed from the API server, and with
// what this showed to be needed besides.
const mostObservations = 3

// decide observes and plans, and does so again with what has to be read from the API server.
func (r *Reconciler) decide(ctx context.Context, pool *v1alpha1.NodePool) (*observation, planner.Result, error) {
	var sure needs
	for left := mostObservations; ; left-- {
		seen, err := r.observe(ctx, pool, sure)
		if err != nil {
			return nil, planner.Result{}, err
		}
		plan := planner.Plan(seen.Snapshot)
		if left == 1 || !sure.add(plan) {
			return seen, plan, nil
		}
		pool = seen.Pool
	}
}

// needs are what an observation has to have from the API server.
type needs struct {
	// live are the pool and all its Machines.
	live bool
	// confirm are machines that are changed or would be next; with any, the pool as well.
	confirm []string
	// makes says that the live ones are for machines to make.
	makes bool
}

// add notes what a plan needs besides, and says whether that is anything.
func (n *needs) add(plan planner.Result) bool {
	more := plan.Live || len(plan.Confirm) > 0
	n.live = n.live || plan.Live
	n.confirm = slices.Concat(n.confirm, plan.Confirm)
	n.makes = n.makes || plan.Live && slices.ContainsFunc(plan.Deferred, func(d planner.Deferral) bool { return d.Verb == planner.Create })
	return more
}

func (r *Reconciler) ensureFinalizer(ctx context.Context, pool *v1alpha1.NodePool) error {
	if !pool.DeletionTimestamp.IsZero() || controllerutil.ContainsFinalizer(pool, v1alpha1.NodePoolFinalizer) {
		return nil
	}
	base := pool.DeepCopy()
	controllerutil.AddFinalizer(pool, v1alpha1.NodePoolFinalizer)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, pool, patch); err != nil {
		return ignoreGone(err, "add the finalizer to NodePool %s", client.ObjectKeyFromObject(pool))
	}
	r.written.Wrote(pool)
	return nil
}

func (r *Reconciler) now() time.Time {
	if r.Clock == nil {
		return time.Now()
	}
	return r.Clock.Now()
}

func (r *Reconciler) concurrency() int {
	if r.CreateConcurrency <= 0 {
		return defaultCreateConcurrency
	}
	return r.CreateConcurrency
}

// ignoreGone wraps an error, except that an object's absence is none.
func ignoreGone(err error, format string, args ...any) error {
	if client.IgnoreNotFound(err) == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
