package ownership

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/queueing"
)

// workers is how many Machines are worked on at once.
const workers = 4

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	r.Management = r.Management.Or(mgr)
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("drover-ownership")
	}
	ofAPool := predicate.NewPredicateFuncs(lookup.MayBeOfPool)
	return ctrl.NewControllerManagedBy(mgr).Named("ownership").
		For(&clusterv1.Machine{}, builder.WithPredicates(ofAPool, predicate.Funcs{UpdateFunc: changed})).
		WithOptions(queueing.Options(workers)).
		Complete(r)
}

// changed passes over what Cluster API writes all the time.
func changed(update event.UpdateEvent) bool {
	before, after := update.ObjectOld, update.ObjectNew
	return before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() ||
		!equality.Semantic.DeepEqual(before.GetLabels(), after.GetLabels()) ||
		!equality.Semantic.DeepEqual(before.GetOwnerReferences(), after.GetOwnerReferences()) ||
		!equality.Semantic.DeepEqual(before.GetFinalizers(), after.GetFinalizers())
}
