package nodeagent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/queueing"
)

// workers is how many Machines are worked on at once.
const workers = 10

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	r.Management, r.Workload = r.Management.Or(mgr), r.Workload.Or(mgr)
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("drover-nodeagent")
	}
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	b := ctrl.NewControllerManagedBy(mgr).Named("nodeagent").
		For(&clusterv1.Machine{}, builder.WithPredicates(predicate.NewPredicateFuncs(lookup.MayBeOfPool))).
		Watches(&v1alpha1.NodeAgent{}, handler.EnqueueRequestsFromMapFunc(machineOfAgent)).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.machineOfNode), builder.WithPredicates(nodeChanged)).
		Watches(&v1alpha1.NodePool{}, handler.EnqueueRequestsFromMapFunc(r.machinesOfPool), builder.WithPredicates(poolChanged)).
		Watches(&v1alpha1.LocalMachine{}, handler.EnqueueRequestsFromMapFunc(machineOfLocalMachine)).
		WatchesRawSource(desired.Changes(r.Facts, r.FactsEvery, r.allMachines)).
		WithOptions(queueing.Options(workers))
	if r.Stop != nil {
		b = b.Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.allThere), builder.WithPredicates(r.Stop.Changed()))
	}
	return b.Complete(r)
}

// machineOfAgent is also a Machine of the name in no namespace, where somebody took away the label that has that: there is none,
// and the NodeAgent is looked at all the same.
func machineOfAgent(ctx context.Context, object client.Object) []reconcile.Request {
	if requests := lookup.MachineOfAgent(ctx, object); len(requests) > 0 {
		return requests
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: object.GetName()}}}
}

// machineOfNode goes by the NodeAgent of the Node's name: a Node's own labels are the kubelet's to write.
func (r *Reconciler) machineOfNode(ctx context.Context, object client.Object) []reconcile.Request {
	agent, err := lookup.GetOrNil(ctx, r.Workload, types.NamespacedName{Name: object.GetName()}, &v1alpha1.NodeAgent{})
	if err != nil || agent == nil {
		return nil
	}
	return lookup.MachineOfAgent(ctx, agent)
}

// allThere are all Machines that have a NodeAgent: each is looked at when the fleet is stopped, and when it goes on.
func (r *Reconciler) allThere(ctx context.Context, _ client.Object) []reconcile.Request {
	requests, err := r.allMachines(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not find out which Machines there are")
	}
	return requests
}

func machineOfLocalMachine(_ context.Context, object client.Object) []reconcile.Request {
	if !lookup.OfPool(object) {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(object)}}
}

func (r *Reconciler) machinesOfPool(ctx context.Context, object client.Object) []reconcile.Request {
	return lookup.Requests(ctx, r.Management, &clusterv1.MachineList{}, client.InNamespace(object.GetNamespace()),
		client.MatchingLabels{v1alpha1.PoolUIDLabel: string(object.GetUID())}, client.UnsafeDisableDeepCopy)
}

// poolChanged passes over what says nothing about a machine that is there: how many machines the pool is to have, and its status, but for
// the revision that they are to run.
var poolChanged = predicate.Funcs{
	UpdateFunc: func(update event.UpdateEvent) bool {
		before, ok := update.ObjectOld.(*v1alpha1.NodePool)
		after, okAfter := update.ObjectNew.(*v1alpha1.NodePool)
		return !ok || !okAfter || before.Status.Revision != after.Status.Revision || before.Generation != after.Generation && !onlyReplicas(&before.Spec, &after.Spec)
	},
}

// onlyReplicas says that two specs differ in their replicas and in nothing else.
func onlyReplicas(before, after *v1alpha1.NodePoolSpec) bool {
	same := *before
	same.Replicas = after.Replicas
	return !equality.Semantic.DeepEqual(before, after) && equality.Semantic.DeepEqual(&same, after)
}

// nodeChanged passes over what kubelets write all the time: heartbeats, images, addresses, allocatable.
var nodeChanged = predicate.Funcs{
	UpdateFunc: func(update event.UpdateEvent) bool {
		before, ok := update.ObjectOld.(*corev1.Node)
		after, okAfter := update.ObjectNew.(*corev1.Node)
		return !ok || !okAfter || before.UID != after.UID || before.Spec.ProviderID != after.Spec.ProviderID ||
			readiness(before) != readiness(after) ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
			!equality.Semantic.DeepEqual(before.Spec.Taints, after.Spec.Taints)
	},
}

func readiness(node *corev1.Node) corev1.ConditionStatus {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status
		}
	}
	return ""
}
