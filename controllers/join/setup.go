package join

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/queueing"
)

const (
	// workers is how many Machines, and how many certificate requests, are worked on at once.
	workers = 10
	// requesterField indexes certificate requests in the cache by who made them.
	requesterField = "spec.username"
	// nameField indexes Machines in the cache by their names alone, as the API server does.
	nameField = "metadata.name"
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
		For(&clusterv1.Machine{}, builder.WithPredicates(predicate.NewPredicateFuncs(lookup.MayBeOfPool))).
		Watches(&v1alpha1.NodeAgent{}, handler.EnqueueRequestsFromMapFunc(lookup.MachineOfAgent),
			builder.WithPredicates(predicate.NewPredicateFuncs(reportedAgent))).
		WatchesRawSource(source.Func(r.enqueueTokens)).
		WatchesRawSource(desired.Changes(r.Facts, r.FactsEvery, r.waiting)).
		WithOptions(queueing.Options(workers)).
		Complete(r)
}

// enqueueTokens looks, once after the start, at each Machine that has a token: it may have gone in the meantime.
func (r *TokenReconciler) enqueueTokens(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	requests, err := r.waiting(ctx)
	for _, request := range requests {
		queue.Add(request)
	}
	return err
}

// waiting are the Machines that have a token.
func (r *TokenReconciler) waiting(ctx context.Context) ([]reconcile.Request, error) {
	if err := r.book.load(ctx, r.Workload.Live); err != nil {
		return nil, err
	}
	var requests []reconcile.Request
	for _, name := range r.book.machines() {
		requests = append(requests, reconcile.Request{NamespacedName: name})
	}
	return requests, nil
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
	if err := mgr.GetFieldIndexer().IndexField(ctx, &clusterv1.Machine{}, nameField, byName); err != nil {
		return fmt.Errorf("index Machines by name: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("join-approval").
		For(&certificatesv1.CertificateSigningRequest{}, builder.WithPredicates(onceMade)).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(r.requestsOfMachine), builder.WithPredicates(whatRequestsWaitFor)).
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

func byName(object client.Object) []string { return []string{object.GetName()} }

// onceMade has each request looked at once: its spec never changes, and whoever labels it changes no decision.
var onceMade = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool {
		request, ok := e.Object.(*certificatesv1.CertificateSigningRequest)
		return ok && isUndecided(request)
	},
	UpdateFunc: func(event.UpdateEvent) bool { return false },
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

// whatRequestsWaitFor lets through what a Machine may not have yet when the first request comes.
var whatRequestsWaitFor = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*clusterv1.Machine)
		after, okAfter := e.ObjectNew.(*clusterv1.Machine)
		return !ok || !okAfter || before.Spec.ProviderID != after.Spec.ProviderID ||
			before.Status.NodeRef != after.Status.NodeRef ||
			!equality.Semantic.DeepEqual(before.Status.Addresses, after.Status.Addresses) ||
			!equality.Semantic.DeepEqual(before.Status.Initialization, after.Status.Initialization)
	},
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

// requestsOfMachine are the undecided requests of a machine's agent and kubelet.
func (r *ApprovalReconciler) requestsOfMachine(ctx context.Context, machine client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, prefix := range []string{v1alpha1.AgentUserPrefix, v1alpha1.NodeUserPrefix} {
		list := &certificatesv1.CertificateSigningRequestList{}
		if err := r.Workload.List(ctx, list, client.MatchingFields{requesterField: prefix + machine.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Failed to list the certificate requests of a machine", "machine", machine.GetName())
			continue
		}
		for i := range list.Items {
			if isUndecided(&list.Items[i]) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
	}
	return requests
}
