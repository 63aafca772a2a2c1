package host

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/queueing"
)

// workers is how many Hosts, and how many HostMachines, are worked on at once: one that is slow holds up one of them, and
// costs little but time.
const workers = 64

// SetupWithManager registers the provider's reconciler and that of Hosts.
func (s *Servers) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if len(s.AgentBinaries) == 0 {
		return errors.New("set up the provider of HostMachines: it needs --agent-binary")
	}
	var err error
	if s.agents, err = readAgents(s.AgentBinaries); err != nil {
		return fmt.Errorf("set up the provider of HostMachines: %w", err)
	}
	if err := s.machines().SetupWithManager(ctx, mgr); err != nil {
		return err
	}
	return (&Reconciler{Servers: s}).setUp(mgr)
}

// machines is the provider's reconciler.
func (s *Servers) machines() *infra.Reconciler[*v1alpha1.HostMachine] {
	return &infra.Reconciler[*v1alpha1.HostMachine]{Client: s.Client, APIReader: s.APIReader, Recorder: s.Recorder,
		Provider: &Provider{Servers: s}, Published: s.Published, MaxConcurrentReconciles: workers, Timeout: longest,
		Watch: func(b *ctrl.Builder) {
			b.Watches(&v1alpha1.Host{}, handler.EnqueueRequestsFromMapFunc(claimer))
		}}
}

func (r *Reconciler) setUp(mgr ctrl.Manager) error {
	changed := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, r.statusChanged())
	return ctrl.NewControllerManagedBy(mgr).Named("host").
		For(&v1alpha1.Host{}, builder.WithPredicates(changed)).
		WithOptions(queueing.Options(workers)).
		Complete(r)
}

// statusChanged lets through what others do to a Host's status, by which servers are chosen.
func (r *Reconciler) statusChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Host)
		after, ok2 := e.ObjectNew.(*v1alpha1.Host)
		return !ok || !ok2 || !equality.Semantic.DeepEqual(before.Status, after.Status) && !r.said.IsOurs(client.ObjectKeyFromObject(after), after.Status)
	}}
}

// claimer is the HostMachine that a Host is claimed by.
func claimer(_ context.Context, object client.Object) []ctrl.Request {
	h, ok := object.(*v1alpha1.Host)
	if !ok {
		return nil
	}
	claim, err := claimOf(h)
	if err != nil || claim == nil {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: h.Namespace, Name: claim.Name}}}
}
