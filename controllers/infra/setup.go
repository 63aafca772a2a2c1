package infra

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/queueing"
)

const defaultConcurrency = 10

// SetupWithManager registers the reconciler.
func (r *Reconciler[M]) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	if r.MaxConcurrentReconciles == 0 {
		r.MaxConcurrentReconciles = defaultConcurrency
	}
	kind := r.Provider.Kind()
	b := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(kind.Name)).
		For(kind.New()).
		Watches(kind.New(), r.deletions.handler()).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(r.machineOf), builder.WithPredicates(machineChanges())).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.machinesOf), builder.WithPredicates(clusterChanges())).
		WithOptions(queueing.Options(r.MaxConcurrentReconciles))
	if r.Published != nil {
		b.WatchesRawSource(source.Func(r.Published.start))
	}
	if r.Watch != nil {
		r.Watch(b)
	}
	return b.Complete(r)
}

// machineOf is the infrastructure machine that a Machine stands on.
func (r *Reconciler[M]) machineOf(_ context.Context, o client.Object) []ctrl.Request {
	machine, ok := o.(*clusterv1.Machine)
	if !ok || machine.Spec.InfrastructureRef.Kind != r.Provider.Kind().Name || machine.Spec.InfrastructureRef.APIGroup != v1alpha1.GroupVersion.Group {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: machine.Namespace, Name: machine.Spec.InfrastructureRef.Name}}}
}

// machinesOf are the infrastructure machines of a Cluster.
func (r *Reconciler[M]) machinesOf(ctx context.Context, o client.Object) []ctrl.Request {
	list := r.Provider.Kind().NewList()
	if err := r.Client.List(ctx, list, client.InNamespace(o.GetNamespace()), client.MatchingLabels{clusterv1.ClusterNameLabel: o.GetName()}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list the infrastructure machines of a Cluster", "cluster", client.ObjectKeyFromObject(o))
		return nil
	}
	var requests []ctrl.Request
	_ = meta.EachListItem(list, func(item runtime.Object) error { // It fails only for what is no list.
		if m, ok := item.(client.Object); ok {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(m)})
		}
		return nil
	})
	return requests
}

// machineChanges lets through what the reconciler reads of a Machine.
func machineChanges() predicate.Predicate {
	type read struct {
		secret, node    string
		paused, drained bool
	}
	of := func(o client.Object) read {
		machine, ok := o.(*clusterv1.Machine)
		if !ok {
			return read{}
		}
		seen := read{node: machine.Status.NodeRef.Name, paused: isPaused(machine), drained: v1alpha1.Drained(machine)}
		if machine.Spec.Bootstrap.DataSecretName != nil {
			seen.secret = *machine.Spec.Bootstrap.DataSecretName
		}
		return seen
	}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
	}
}

// clusterChanges lets through what the reconciler reads of a Cluster.
func clusterChanges() predicate.Predicate {
	type read struct{ provisioned, paused bool }
	of := func(o client.Object) read {
		cluster, ok := o.(*clusterv1.Cluster)
		if !ok {
			return read{}
		}
		return read{isTrue(cluster.Status.Initialization.InfrastructureProvisioned), isTrue(cluster.Spec.Paused)}
	}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
