package join

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
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

// +kubebuilder:rbac:groups="",namespace=kube-system,resources=secrets,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodeagents;nodepools;nodebundles,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch;update

// TokenReconciler makes the join token and the bootstrap Secret of each Machine of a pool, and takes the token back
// when the machine has joined or goes.
//
// The token is written first. A manager that dies before the bootstrap Secret is written finds the token again by the
// ID it derives from the Machine's UID; one that finds only the bootstrap Secret makes the token that this promises.
type TokenReconciler struct {
	// Management has the pools, Machines and bootstrap Secrets. Default: the manager's.
	Management sides.Side
	// Workload has the token Secrets, certificate requests and NodeAgents. Default: the manager's. On both sides Secrets
	// are read live alone, so no Secret needs to be cached.
	Workload sides.Side
	// Facts finds out what nodes must know about their cluster.
	Facts desired.Facts
	// FactsEvery is how often it is asked for what has changed. Default: 30 seconds.
	FactsEvery time.Duration
	// Recorder tells users what keeps a machine from getting its bootstrap data. Default: the manager's.
	Recorder events.EventRecorder
	// Published is told of each Machine whose bootstrap Secret was written, if it is set.
	Published func(machine types.NamespacedName)
	// Clock tells when a token expires. Default: the real one.
	Clock clock.PassiveClock

	book tokenBook
}

// errNoFacts says that a machine could not be told about its cluster.
var errNoFacts = errors.New("some of it is missing")

// errNotOurs says that somebody else's object has the name that one of ours needs.
var errNotOurs = errors.New("exists and was not made for this Machine: delete it")

// Reconcile brings the token and the bootstrap Secret of one Machine to what its state asks for.
func (r *TokenReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.book.load(ctx, r.Workload.Live); err != nil {
		return ctrl.Result{}, err
	}
	machine := &clusterv1.Machine{}
	err := r.Management.Get(ctx, req.NamespacedName, machine)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{}, r.machineGone(ctx, req.NamespacedName)
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read Machine %s: %w", req, err)
	}
	agent, err := lookup.GetOrNil(ctx, r.Workload, types.NamespacedName{Name: machine.Name}, &v1alpha1.NodeAgent{})
	if err != nil {
		return ctrl.Result{}, err
	}
	if t := r.book.get(req.NamespacedName); t != nil && t.machineUID != machine.UID {
		return ctrl.Result{Requeue: true}, r.takeBack(ctx, req.NamespacedName) //nolint:staticcheck // The next pass is for the new Machine.
	}
	if !machine.DeletionTimestamp.IsZero() || hasJoined(machine, agent) {
		return ctrl.Result{}, r.takeBack(ctx, req.NamespacedName)
	}
	if r.book.isSpent(req.NamespacedName, machine.UID) {
		return ctrl.Result{}, nil
	}
	return r.letIn(ctx, machine)
}

// machineGone takes back the token of a Machine that the cache does not have, after a look at the API itself.
func (r *TokenReconciler) machineGone(ctx context.Context, name types.NamespacedName) error {
	if r.book.get(name) != nil {
		switch err := r.Management.Live.Get(ctx, name, &clusterv1.Machine{}); {
		case err == nil:
			return nil // Just made: its event is on the way.
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("read Machine %s: %w", name, err)
		}
		if err := r.takeBack(ctx, name); err != nil {
			return err
		}
	}
	r.book.forget(name)
	return nil
}

// takeBack deletes a Machine's token, if it has one.
func (r *TokenReconciler) takeBack(ctx context.Context, name types.NamespacedName) error {
	t := r.book.get(name)
	if t == nil {
		return nil
	}
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = tokenNamespace, secretName(t.id)
	if err := client.IgnoreNotFound(r.Workload.Delete(ctx, secret)); err != nil {
		return fmt.Errorf("delete the join token of Machine %s: %w", name, err)
	}
	r.book.spend(name, t.machineUID)
	ctrl.LoggerFrom(ctx).Info("Deleted the join token")
	return nil
}

// letIn makes what a Machine needs to join and keeps its token from expiring.
func (r *TokenReconciler) letIn(ctx context.Context, machine *clusterv1.Machine) (ctrl.Result, error) {
	pool, err := r.poolOf(ctx, machine)
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("Made no join token: the Machine is not of the pool it names", "reason", err.Error())
		return ctrl.Result{}, nil
	}
	t := r.book.get(client.ObjectKeyFromObject(machine))
	if t == nil || !t.published {
		if t, err = r.publish(ctx, machine, pool, t); err != nil {
			r.tell(pool, machine, err)
			return ctrl.Result{}, err
		}
	}
	if t.expires.Sub(r.Clock.Now()) <= extendBefore(pool) {
		if err := r.extend(ctx, pool, t); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.refresh(ctx, machine, t); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: max(t.expires.Sub(r.Clock.Now())-extendBefore(pool), time.Second)}, nil
}

// tell makes an event of what only a user can mend.
func (r *TokenReconciler) tell(pool *v1alpha1.NodePool, machine *clusterv1.Machine, err error) {
	switch {
	case errors.Is(err, errNotOurs):
		r.Recorder.Eventf(pool, machine, corev1.EventTypeWarning, v1alpha1.ReasonJoinFailed, "MakeBootstrapData", "%s", v1alpha1.BoundMessage(err.Error()))
	case errors.Is(err, errNoFacts):
		r.Recorder.Eventf(pool, machine, corev1.EventTypeWarning, v1alpha1.ReasonDiscoveryFailed, "MakeBootstrapData", "%s", v1alpha1.BoundMessage(err.Error()))
	case apierrors.IsForbidden(err):
		r.Recorder.Eventf(pool, machine, corev1.EventTypeWarning, v1alpha1.ReasonSecretForbidden, "MakeBootstrapData", "%s",
			v1alpha1.BoundMessage(v1alpha1.SecretsForbidden(machine.Namespace, err)))
	}
}

// poolOf is the pool that made the Machine. The cache may lag behind a pool just made, so a refusal is checked live.
func (r *TokenReconciler) poolOf(ctx context.Context, machine *clusterv1.Machine) (*v1alpha1.NodePool, error) {
	pool, err := lookup.PoolOf(ctx, r.Management, machine)
	if err == nil {
		err = BelongsTo(machine, pool)
	}
	if err == nil {
		return pool, nil
	}
	if pool, err = lookup.PoolOf(ctx, r.Management.Live, machine); err != nil {
		return nil, err
	}
	return pool, BelongsTo(machine, pool)
}
