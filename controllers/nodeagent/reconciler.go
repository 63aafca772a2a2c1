package nodeagent

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/consistency"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/join"
	"github.com/drover-dev/drover/controllers/lookup"
	nodes "github.com/drover-dev/drover/controllers/node"
	"github.com/drover-dev/drover/controllers/ownership"
	"github.com/drover-dev/drover/controllers/sides"
	"github.com/drover-dev/drover/controllers/stop"
)

// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodeagents,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools;nodebundles;hostmachines;localmachines,verbs=get;list;watch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines/status,verbs=patch
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch;update

// Reconciler keeps the NodeAgent, the Node's labels and taints and the Machine's condition of each Machine of a pool.
type Reconciler struct {
	// Management has the pools and Machines. What is deleted or given up is read live before. Default: the manager's.
	Management sides.Side
	// Workload has the Nodes and NodeAgents. Default: the manager's.
	Workload sides.Side
	// Facts finds out what nodes must know about their cluster.
	Facts desired.Facts
	// FactsEvery is how often it is asked for what has changed. Default: 30 seconds.
	FactsEvery time.Duration
	// Stop says whether the fleet is stopped. Default: it never is.
	Stop *stop.Switch
	// Recorder tells a pool's users who joins and who does not. Default: the manager's.
	Recorder events.EventRecorder
	// Clock tells how old a report is. Default: the real one.
	Clock clock.PassiveClock

	written consistency.Objects // Machines
	told    consistency.Objects // NodeAgents, which have the names of Nodes
	marks   nodes.Marks
	seen    seen
}

// Reconcile brings one machine's NodeAgent, Node and condition up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	machine, err := lookup.GetOrNil(ctx, r.Management, req.NamespacedName, &clusterv1.Machine{})
	if err != nil {
		return ctrl.Result{}, err
	}
	if machine == nil {
		r.written.Forget(req.NamespacedName)
		r.told.Forget(types.NamespacedName{Name: req.Name})
		r.seen.forget(req.NamespacedName)
		return ctrl.Result{}, r.collect(ctx, req.NamespacedName)
	}
	pool, err := ownership.PoolOf(ctx, r.Management, machine)
	if err != nil {
		return ctrl.Result{}, err
	}
	if pool == nil {
		return ctrl.Result{}, r.disown(ctx, machine)
	}
	if err := join.BelongsTo(machine, pool); err != nil {
		ctrl.LoggerFrom(ctx).Info("Left a Machine alone until its labels are put back", "reason", err.Error())
		return ctrl.Result{}, nil
	}
	o, err := r.observe(ctx, machine, pool)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !machine.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // The NodeAgent stays while the node drains: its agent goes on reporting.
	}
	if err := r.equip(ctx, o); err != nil && !errors.As(err, &o.trouble) {
		return ctrl.Result{}, err
	}
	o.troubled = r.seen.troubledSince(o)
	if err := r.mirror(ctx, o); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: recheckAfter(o)}, nil
}

// equip gives a machine its NodeAgent, with the facts of the cluster as they are, and its Node the pool's labels and taints.
func (r *Reconciler) equip(ctx context.Context, o *observed) error {
	if err := r.ensureNodeAgent(ctx, o); err != nil {
		return err
	}
	return r.markNode(ctx, o)
}

// observe reads all that is known about a Machine of a pool.
func (r *Reconciler) observe(ctx context.Context, machine *clusterv1.Machine, pool *v1alpha1.NodePool) (o *observed, err error) {
	why, err := r.Stop.Why(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	o = &observed{machine: machine, pool: pool, now: r.Clock.Now(), stopped: why != ""}
	o.awaited = r.seen.awaitedSince(o)
	name := types.NamespacedName{Name: machine.Name}
	if o.agent, err = lookup.GetOrNil(ctx, r.Workload, name, &v1alpha1.NodeAgent{}); err != nil {
		return nil, err
	}
	if o.agent != nil {
		o.heard = r.seen.heardAt(o)
	}
	if o.node, err = lookup.GetOrNil(ctx, r.Workload, name, &corev1.Node{}); err != nil {
		return nil, err
	}
	if ref := machine.Spec.InfrastructureRef; ref.APIGroup == v1alpha1.GroupVersion.Group && ref.Kind == "LocalMachine" {
		key := types.NamespacedName{Namespace: machine.Namespace, Name: ref.Name}
		if o.local, err = lookup.GetOrNil(ctx, r.Management, key, &v1alpha1.LocalMachine{}); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// mirror writes the Machine's conditions when one says something new, and tells the pool. Both go in one patch: what is left out of that
// would be taken away.
func (r *Reconciler) mirror(ctx context.Context, o *observed) error {
	health, upToDate := agentHealth(o), o.upToDate()
	isNews := health != nil && !same(o.previous(), health)
	if !isNews && !o.isNews(upToDate) || r.written.IsOlder(o.machine) {
		return nil
	}
	if !isNews {
		health = o.previous()
	}
	written, err := applyConditions(ctx, r.Management, o.machine, health, upToDate)
	if err != nil {
		return err
	}
	r.written.Wrote(written)
	if !isNews {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("Mirrored the agent's health", "status", health.Status, "reason", health.Reason, "message", health.Message)
	if event := announce(o, health); event != nil {
		r.Recorder.Eventf(o.pool, o.machine, event.kind, event.reason, "Join", "%s", v1alpha1.BoundMessage(event.message))
	}
	return nil
}

// markNode puts the pool's labels and taints onto the Node, and tells the pool of one that has just joined.
func (r *Reconciler) markNode(ctx context.Context, o *observed) error {
	if o.node == nil || o.foreignNode() != "" || ptr.Deref(o.pool.Spec.Paused, false) || o.stopped && nodes.IsMarked(o.node) {
		return nil
	}
	marked, err := r.marks.Put(ctx, r.Management, r.Workload, nodes.Target{Machine: o.machine, Pool: o.pool, Node: o.node})
	if errors.As(err, new(*nodes.NotAppliedError)) {
		return &trouble{reason: v1alpha1.ReasonTemplateNotApplied, err: err}
	}
	if err != nil || marked.Node == nil {
		return err
	}
	if marked.First {
		took := marked.Node.CreationTimestamp.Sub(o.machine.CreationTimestamp.Time) // both by the API server's clock
		r.Recorder.Eventf(o.pool, o.machine, corev1.EventTypeNormal, v1alpha1.ReasonJoined, "Join",
			"Machine %s joined as Node %s %s after it was made", o.machine.Name, marked.Node.Name, took)
	}
	return nil
}
