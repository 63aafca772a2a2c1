package ownership

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools/finalizers,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch;update

// retryReserved is how soon a Machine is looked at again whose ordinal's reservation is open.
const retryReserved = 5 * time.Second

// Reconciler puts back what says whose a Machine is, and lets go the Machines that are nobody's.
type Reconciler struct {
	// Management has the pools and Machines. Default: the manager's.
	Management sides.Side
	// Recorder tells a pool's users what was put back. Default: the manager's.
	Recorder events.EventRecorder
}

// Reconcile looks at one Machine.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	machine, err := lookup.GetOrNil(ctx, r.Management, req.NamespacedName, &clusterv1.Machine{})
	if err != nil || machine == nil {
		return ctrl.Result{}, err
	}
	pool, err := PoolOf(ctx, r.Management, machine)
	if err != nil {
		return ctrl.Result{}, err
	}
	if pool == nil {
		return r.release(ctx, machine)
	}
	return ctrl.Result{}, r.mend(ctx, pool, machine)
}

// mend puts back what a Machine lacks, a paused pool's as well: nothing is changed by that, and a pool that has lost sight of a
// machine would make another one when it goes on.
func (r *Reconciler) mend(ctx context.Context, pool *v1alpha1.NodePool, machine *clusterv1.Machine) error {
	mended, lacked := Mended(pool, machine)
	if len(lacked) == 0 {
		return nil
	}
	if written, err := r.patch(ctx, machine, mended); err != nil || !written {
		return err
	}
	what := strings.Join(lacked, ", ")
	ctrl.LoggerFrom(ctx).Info("Put back what says whose a Machine is", "lacked", what)
	r.Recorder.Eventf(pool, machine, corev1.EventTypeWarning, v1alpha1.ReasonMachineRestored, "Restore", "%s",
		v1alpha1.BoundMessage(fmt.Sprintf("Put back on Machine %s: %s. It is this pool's by what was left of that, and by its name. To be rid of it, delete it", machine.Name, what)))
	return nil
}

// release takes the ordinal's finalizer from a Machine that is being deleted and that no pool counts, for no pool would. A pool
// that its name is of, and that has taken up ordinals which it has not made all machines of, is waited for.
func (r *Reconciler) release(ctx context.Context, machine *clusterv1.Machine) (ctrl.Result, error) {
	released := machine.DeepCopy()
	if machine.DeletionTimestamp.IsZero() || !controllerutil.RemoveFinalizer(released, v1alpha1.OrdinalFinalizer) {
		return ctrl.Result{}, nil
	}
	pools := &v1alpha1.NodePoolList{}
	if err := r.Management.Live.List(ctx, pools, client.InNamespace(machine.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("look for the NodePool that Machine %s/%s was made for: %w", machine.Namespace, machine.Name, err)
	}
	if slices.ContainsFunc(pools.Items, func(pool v1alpha1.NodePool) bool {
		return pool.Status.Reserved != nil && strings.HasPrefix(machine.Name, v1alpha1.MachineNamePrefix(&pool))
	}) {
		return ctrl.Result{RequeueAfter: retryReserved}, nil
	}
	written, err := r.patch(ctx, machine, released)
	if written {
		ctrl.LoggerFrom(ctx).Info("Let go a Machine that no pool counts")
	}
	return ctrl.Result{}, err
}

// patch writes a Machine onto the very version that was looked at, as lists are written as a whole. What somebody else wrote
// meanwhile raises an event.
func (r *Reconciler) patch(ctx context.Context, before, after *clusterv1.Machine) (written bool, err error) {
	err = r.Management.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write the labels, owners and finalizers of Machine %s/%s: %w", before.Namespace, before.Name, err)
	}
	return true, nil
}
