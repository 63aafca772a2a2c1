package join

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/queueing"
)

const (
	// workers is how many Machines, and how many certificate requests, are worked on at once.
	workers = 10
	// requesterField indexes certificate requests in the cache by who made them.
	requesterField = "spec.username"
)

// SetupWithManager registers the reconciler.
func (r *TokenReconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	r.Management, r.Workload = r.Management.Or(mgr), r.Workload.Or(mgr)
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("drover-join")
	}
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("join-token").
		For(&clusterv1.Machine{}, builder.WithPredicates(predicate.NewPredicateFuncs(lookup.OfPool))).
		Watches(&v1alpha1.NodeAgent{}, handler.EnqueueRequestsFromMapFunc(lookup.MachineOfAgent),
			builder.WithPredicates(predicate.NewPredicateFuncs(reportedAgent))).
		WatchesRawSource(source.Func(r.enqueueTokens)).
		WithOptions(queueing.Options(workers)).
		Complete(r)
}

// enqueueTokens looks, once after the start, at each Machine that has a token: it may have gone in the meantime.
func (r *TokenReconciler) enqueueTokens(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	if err := r.book.load(ctx, r.Workload.Live); err != nil {
		return err
	}
	for _, name := range r.book.machines() {
		queue.Add(reconcile.Request{NamespacedName: name})
	}
	return nil
}

func reportedAgent(object client.Object) bool {
	agent, ok := object.(*v1alpha1.NodeAgent)
	return ok && hasReported(agent)
}

// SetupWithManager registers the reconciler.
func (r *ApprovalReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	r.Management, r.Workload = r.Management.Or(mgr), r.Workload.Or(mgr)
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("drover-join")
	}
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &certificatesv1.CertificateSigningRequest{}, requesterField, byRequester); err != nil {
		return fmt.Errorf("index certificate requests by requester: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("join-approval").
		For(&certificatesv1.CertificateSigningRequest{}, builder.WithPredicates(predicate.NewPredicateFuncs(undecidedRequest))).
		WithOptions(queueing.Options(workers)).
		Complete(r)
}

func byRequester(object client.Object) []string {
	request, ok := object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil
	}
	return []string{request.Spec.Username}
}

func undecidedRequest(object client.Object) bool {
	request, ok := object.(*certificatesv1.CertificateSigningRequest)
	return ok && isUndecided(request)
}
