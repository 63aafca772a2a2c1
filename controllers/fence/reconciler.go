package fence

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/firstseen"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodeagents,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch;update

const (
	// grace is how long a Node without a Machine is left, and takes no new pods, before it is deleted: whoever puts back
	// Machines from a copy has that long to go on.
	grace = 10 * time.Second
	// taintKey is that of the taint that keeps new pods from such a Node. A kubelet cannot take it away.
	taintKey = "fleet.drover.dev/no-machine"
)

// Reconciler removes Nodes of Drover's that stand for no Machine.
type Reconciler struct {
	// Management has the Machines. Default: the manager's.
	Management sides.Side
	// Workload has the Nodes, NodeAgents and the List. Default: the manager's.
	Workload sides.Side
	// Recorder tells of each Node that is removed. Default: the manager's.
	Recorder events.EventRecorder
	// Clock measures the grace. Default: the real one.
	Clock clock.PassiveClock

	// unwanted has since when each Node, by its name, is without a Machine.
	unwanted firstseen.Times[string, types.UID]
}

// Reconcile looks at one Node.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	node, err := lookup.GetOrNil(ctx, r.Workload, req.NamespacedName, &corev1.Node{})
	if err != nil {
		return ctrl.Result{}, err
	}
	if node == nil {
		r.unwanted.Forget(req.Name)
		return ctrl.Result{}, nil
	}
	if wanted, err := r.wanted(ctx, node, false); err != nil || wanted && !hasTaint(node) {
		return ctrl.Result{}, err
	}
	// The cache may be behind: nothing is done to a Node but on the ground of what is true now.
	if node, err = lookup.GetOrNil(ctx, r.Workload.Live, req.NamespacedName, &corev1.Node{}); err != nil || node == nil {
		return ctrl.Result{}, err
	}
	wanted, err := r.wanted(ctx, node, true)
	if err != nil {
		return ctrl.Result{}, err
	}
	if wanted {
		r.unwanted.Forget(node.Name)
		return ctrl.Result{}, r.taint(ctx, node, false)
	}
	if left := grace - r.Clock.Since(r.unwanted.At(node.Name, node.UID, r.Clock.Now())); left > 0 {
		return ctrl.Result{RequeueAfter: left}, r.taint(ctx, node, true)
	}
	return ctrl.Result{}, r.remove(ctx, node)
}

// wanted says that a Node is none of Drover's, or that it stands for a Machine.
func (r *Reconciler) wanted(ctx context.Context, node *corev1.Node, live bool) (bool, error) {
	ours, err := r.isOurs(ctx, node)
	if err != nil || !ours {
		return true, err
	}
	agent, err := lookup.GetOrNil(ctx, r.Workload.Reader(live), types.NamespacedName{Name: node.Name}, &v1alpha1.NodeAgent{})
	if err != nil || agent != nil {
		return true, err
	}
	return hasMachine(ctx, r.Management, live, node)
}

// isOurs says that Drover made a Node's machine: by its marks, or else, as a kubelet that comes back can leave these
// out, by its name.
func (r *Reconciler) isOurs(ctx context.Context, node *corev1.Node) (bool, error) {
	if IsMarked(node) {
		return true, nil
	}
	if !v1alpha1.IsMachineName(node.Name) {
		return false, nil
	}
	return List{Workload: r.Workload}.Has(ctx, node.Name)
}

// taint puts the taint onto a Node, or takes it away. The list of taints is written as a whole, so only onto the Node
// that it was computed from.
func (r *Reconciler) taint(ctx context.Context, node *corev1.Node, on bool) error {
	changed := node.DeepCopy()
	if !setTaint(changed, on) {
		return nil
	}
	err := r.Workload.Patch(ctx, changed, client.MergeFromWithOptions(node, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("taint Node %s: %w", node.Name, err)
	}
	return nil
}

// remove fences a Node's name and deletes the Node.
func (r *Reconciler) remove(ctx context.Context, node *corev1.Node) error {
	if err := (List{Workload: r.Workload}).Add(ctx, node.Name); err != nil {
		return err
	}
	err := r.Workload.Delete(ctx, node, client.Preconditions{UID: &node.UID})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete Node %s, which no Machine stands for: %w", node.Name, err)
	}
	r.unwanted.Forget(node.Name)
	ctrl.LoggerFrom(ctx).Info("Deleted a Node that no Machine stands for", "providerID", node.Spec.ProviderID)
	r.Recorder.Eventf(node, nil, corev1.EventTypeWarning, v1alpha1.ReasonNodeWithoutMachine, "Remove",
		"Deleted Node %s: it is one of Drover's, and no Machine stands for it any more. Its machine runs on: end it, or reset it there with drover-agent reset", node.Name)
	return nil
}
