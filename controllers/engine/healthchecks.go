package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/events"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/queueing"
)

const (
	// healthCheckIgnored is what a MachineHealthCheck says, after the pools whose Machines it is about.
	healthCheckIgnored = "it remediates no Machine, for Drover runs no controller for MachineHealthChecks. A node's agent restarts what fails on it; " +
		"to have another machine in the place of one, delete that Machine"
	// mostPools is how many pools it names.
	mostPools = 3
)

// healthChecks says of MachineHealthChecks that they do nothing. They are accepted, because Cluster API's reconcilers need the
// kind, and would be silent for ever otherwise.
type healthChecks struct {
	client   client.Client
	recorder events.EventRecorder
}

func (h *healthChecks) setup(mgr manager.Manager) error {
	made := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }, GenericFunc: func(event.GenericEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(mgr).
		Named("machinehealthcheck").
		For(&clusterv1.MachineHealthCheck{}).
		Watches(&v1alpha1.NodePool{}, handler.EnqueueRequestsFromMapFunc(h.inNamespace), builder.WithPredicates(made)).
		WithOptions(queueing.Options(1)).
		Complete(h)
}

// inNamespace are the MachineHealthChecks that may be about a pool.
func (h *healthChecks) inNamespace(ctx context.Context, pool client.Object) []reconcile.Request {
	return lookup.Requests(ctx, h.client, &clusterv1.MachineHealthCheckList{}, client.InNamespace(pool.GetNamespace()))
}

// Reconcile says it of one, with an event on it and on each pool that it means, when that is news.
func (h *healthChecks) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	check := &clusterv1.MachineHealthCheck{}
	if err := h.client.Get(ctx, request.NamespacedName, check); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if check.Spec.ClusterName != v1alpha1.AdoptedClusterName || !check.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	pools, err := h.poolsOf(ctx, check)
	if err != nil {
		return ctrl.Result{}, err
	}
	next := check.DeepCopy()
	message := ignoredBy(pools)
	meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
		Type: clusterv1.MachineHealthCheckRemediationAllowedCondition, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonHealthCheckIgnored,
		ObservedGeneration: check.Generation, Message: message,
	})
	if equality.Semantic.DeepEqual(check.Status, next.Status) {
		return ctrl.Result{}, nil
	}
	if err := h.client.Status().Patch(ctx, next, client.MergeFrom(check)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	h.recorder.Eventf(next, nil, corev1.EventTypeWarning, v1alpha1.ReasonHealthCheckIgnored, "Reconcile", "%s", message)
	for _, pool := range pools {
		h.recorder.Eventf(pool, next, corev1.EventTypeWarning, v1alpha1.ReasonHealthCheckIgnored, "Reconcile", "MachineHealthCheck %s: %s", check.Name, healthCheckIgnored)
	}
	return ctrl.Result{}, nil
}

// poolsOf are the pools whose Machines a check selects, by the labels that all Machines of a pool have.
func (h *healthChecks) poolsOf(ctx context.Context, check *clusterv1.MachineHealthCheck) ([]*v1alpha1.NodePool, error) {
	selector, err := metav1.LabelSelectorAsSelector(&check.Spec.Selector)
	if err != nil {
		return nil, nil //nolint:nilerr // it selects nothing
	}
	list := &v1alpha1.NodePoolList{}
	if err := h.client.List(ctx, list, client.InNamespace(check.Namespace)); err != nil {
		return nil, fmt.Errorf("list NodePools: %w", err)
	}
	var pools []*v1alpha1.NodePool
	for i := range list.Items {
		if pool := &list.Items[i]; selector.Matches(labels.Set{
			v1alpha1.PoolLabel: pool.Name, v1alpha1.PoolUIDLabel: string(pool.UID),
			clusterv1.ClusterNameLabel: v1alpha1.AdoptedClusterName, v1alpha1.WatchFilterLabel: v1alpha1.WatchFilterValue,
		}) {
			pools = append(pools, pool)
		}
	}
	slices.SortFunc(pools, func(a, b *v1alpha1.NodePool) int { return strings.Compare(a.Name, b.Name) })
	return pools, nil
}

func ignoredBy(pools []*v1alpha1.NodePool) string {
	if len(pools) == 0 {
		return healthCheckIgnored
	}
	names := make([]string, 0, mostPools+1)
	for _, pool := range pools[:min(len(pools), mostPools)] {
		names = append(names, pool.Name)
	}
	if more := len(pools) - mostPools; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	kind := "NodePool"
	if len(pools) > 1 {
		kind = "NodePools"
	}
	return fmt.Sprintf("It is about the Machines of %s %s; %s", kind, strings.Join(names, ", "), healthCheckIgnored)
}
