package fence

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/queueing"
)

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	r.Management, r.Workload = r.Management.Or(mgr), r.Workload.Or(mgr)
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("drover-fence")
	}
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("fence").
		For(&corev1.Node{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: marksChanged})).
		Watches(&v1alpha1.NodeAgent{}, handler.EnqueueRequestsFromMapFunc(nodeOfTheName), builder.WithPredicates(onceGone)).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(nodeOfTheName), builder.WithPredicates(onceGone)).
		WithOptions(queueing.Options(1)).
		Complete(r)
}

// marksChanged passes over what kubelets write all the time.
func marksChanged(update event.UpdateEvent) bool {
	before, ok := update.ObjectOld.(*corev1.Node)
	after, okAfter := update.ObjectNew.(*corev1.Node)
	return !ok || !okAfter || before.UID != after.UID || before.Spec.ProviderID != after.Spec.ProviderID || IsMarked(before) != IsMarked(after)
}

// onceGone looks at ends only: what a NodeAgent or a Machine is like does not matter, as long as it is there.
var onceGone = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(event.UpdateEvent) bool { return false },
}

func nodeOfTheName(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: object.GetName()}}}
}
