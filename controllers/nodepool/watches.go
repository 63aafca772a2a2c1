package nodepool

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/ownership"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/queueing"
)

const (
	// machineEventsDelay gathers the events of a pool's Machines: a hundred that become ready in one moment are one
	// round, and one status write.
	machineEventsDelay = 100 * time.Millisecond
	// concurrentPools is how many pools are worked on at a time.
	concurrentPools = 10
)

// SetupWithManager registers the controller and its watches.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for field, by := range map[string]client.IndexerFunc{poolField: byPool, leavingField: byLeaving} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &clusterv1.Machine{}, field, by); err != nil {
			return fmt.Errorf("index Machines by pool: %w", err)
		}
	}
	r.indexed = true
	seen := func(kind client.Object) builder.Predicates { return builder.WithPredicates(r.looksAt(kind)) }
	b := ctrl.NewControllerManagedBy(mgr).
		Named("nodepool").
		For(&v1alpha1.NodePool{}, seen(&v1alpha1.NodePool{})).
		Watches(&clusterv1.Machine{}, gathered(), seen(&clusterv1.Machine{})).
		Watches(&v1alpha1.NodeAgent{}, gathered(), seen(&v1alpha1.NodeAgent{})).
		Watches(&v1alpha1.NodeBundle{}, handler.EnqueueRequestsFromMapFunc(r.poolsOfBundle), seen(&v1alpha1.NodeBundle{})).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.poolsOfCluster), seen(&clusterv1.Cluster{})).
		WithOptions(queueing.Options(concurrentPools))
	if r.Stop != nil {
		b = b.Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.allPools), seen(&corev1.ConfigMap{}))
	}
	c, err := b.Build(r)
	if err != nil {
		return fmt.Errorf("set up the nodepool controller: %w", err)
	}
	r.templates = &templateWatches{controller: c, cache: mgr.GetCache(), pools: r.poolsOfTemplate}
	return nil
}

// Notices says whether the controller looks at a pool because of what became of an object: before is nil for one that was made,
// after for one that is gone. The simulation, which has no manager to watch for it, asks this, by the very predicates of the
// watches, and so loses no wake-up that the real controller has, nor has one more.
func (r *Reconciler) Notices(before, after client.Object) bool {
	subject := after
	if subject == nil {
		subject = before
	}
	changed := r.looksAt(subject)
	switch {
	case changed == nil:
		return false
	case before == nil:
		return changed.Create(event.CreateEvent{Object: after})
	case after == nil:
		return changed.Delete(event.DeleteEvent{Object: before})
	default:
		return changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
}

// looksAt is what lets events of an object's kind through; nil for a kind that raises none.
func (r *Reconciler) looksAt(object client.Object) predicate.Predicate {
	switch object.(type) {
	case *v1alpha1.NodePool:
		return r.poolChanged()
	case *clusterv1.Machine:
		return machineChanged()
	case *v1alpha1.NodeAgent:
		return agentChanged()
	case *clusterv1.Cluster:
		return clusterChanged()
	case *v1alpha1.NodeBundle:
		return predicate.Funcs{} // all of them
	case *corev1.ConfigMap:
		return r.Stop.Changed()
	default:
		return nil
	}
}

// poolChanged lets through what others do to a pool, to its status as well, and not our own writes of it.
func (r *Reconciler) poolChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.NodePool)
		after, ok2 := e.ObjectNew.(*v1alpha1.NodePool)
		if !ok || !ok2 {
			return true
		}
		return !equality.Semantic.DeepEqual(before.Status, after.Status) && !r.said.IsOurs(client.ObjectKeyFromObject(after), after.Status) ||
			!planner.OrdinalUnrecorded(before) && planner.OrdinalUnrecorded(after) ||
			e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
			before.Annotations[v1alpha1.RefreshAtAnnotation] != after.Annotations[v1alpha1.RefreshAtAnnotation] ||
			e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() ||
			!equality.Semantic.DeepEqual(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers())
	}}
}

// machineChanged lets through what the planner looks at in a Machine.
func machineChanged() predicate.Predicate {
	ofAPool := predicate.NewPredicateFuncs(func(o client.Object) bool { return len(ownership.PoolNames(o)) > 0 })
	ofAPool.UpdateFunc = func(e event.UpdateEvent) bool {
		return len(ownership.PoolNames(e.ObjectOld)) > 0 || len(ownership.PoolNames(e.ObjectNew)) > 0
	}
	changed := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*clusterv1.Machine)
		after, ok2 := e.ObjectNew.(*clusterv1.Machine)
		if !ok || !ok2 {
			return true
		}
		return before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
			!equality.Semantic.DeepEqual(before.Finalizers, after.Finalizers) ||
			!equality.Semantic.DeepEqual(before.OwnerReferences, after.OwnerReferences) ||
			!equality.Semantic.DeepEqual(before.Spec.Deletion, after.Spec.Deletion) ||
			planner.Complaint(before) != planner.Complaint(after) || planner.Health(before) != planner.Health(after) ||
			conditionsChanged(before.Status.Conditions, after.Status.Conditions)
	}}
	return predicate.And[client.Object](ofAPool, changed)
}

// agentChanged lets through what the planner looks at in a NodeAgent, and no heartbeat. One that is made is no news: the
// Machine that it is made for was.
func agentChanged() predicate.Predicate {
	ofAPool := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetLabels()[v1alpha1.PoolLabel] != "" })
	changed := predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			agent, ok := e.Object.(*v1alpha1.NodeAgent)
			return !ok || agent.Status.Phase != ""
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.NodeAgent)
			after, ok2 := e.ObjectNew.(*v1alpha1.NodeAgent)
			return !ok || !ok2 || before.Generation != after.Generation || !equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
				!equality.Semantic.DeepEqual(planner.Progress(before), planner.Progress(after))
		},
	}
	return predicate.And[client.Object](ofAPool, changed)
}

func conditionsChanged(before, after []metav1.Condition) bool {
	for _, conditionType := range []string{clusterv1.MachineReadyCondition, clusterv1.MachineAvailableCondition} {
		if meta.IsStatusConditionTrue(before, conditionType) != meta.IsStatusConditionTrue(after, conditionType) {
			return true
		}
	}
	for _, conditionType := range []string{clusterv1.MachineDeletingCondition, v1alpha1.MachineAgentHealthyCondition} {
		b, a := meta.FindStatusCondition(before, conditionType), meta.FindStatusCondition(after, conditionType)
		if (b == nil) != (a == nil) || (b != nil && (b.Status != a.Status || b.Message != a.Message)) {
			return true
		}
	}
	return false
}

// clusterChanged lets through what makes a Cluster ready or unready for machines.
func clusterChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*clusterv1.Cluster)
		after, ok2 := e.ObjectNew.(*clusterv1.Cluster)
		return !ok || !ok2 || leaves(before) != leaves(after) || adopted(before) != adopted(after) ||
			!equality.Semantic.DeepEqual(before.Status.Initialization, after.Status.Initialization)
	}}
}

// gathered enqueues the pool of a Machine or a NodeAgent a moment later, so that what happens meanwhile is seen in the same round.
// Where somebody has just made it another's, that is the pool it was, too.
func gathered() handler.EventHandler {
	add := func(o client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		namespace := cmp.Or(o.GetNamespace(), o.GetLabels()[v1alpha1.PoolNamespaceLabel])
		for _, name := range ownership.PoolNames(o) {
			q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, machineEventsDelay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			add(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			add(e.ObjectOld, q)
			add(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			add(e.Object, q)
		},
	}
}

func (r *Reconciler) poolsOfBundle(ctx context.Context, o client.Object) []reconcile.Request {
	bundle, ok := o.(*v1alpha1.NodeBundle)
	if !ok {
		return nil
	}
	return r.poolsThat(ctx, "", func(p *v1alpha1.NodePool) bool {
		return p.Spec.Template.Spec.Version == bundle.Spec.KubernetesVersion || p.Spec.Template.Spec.Bundle == bundle.Name
	})
}

func (r *Reconciler) poolsOfCluster(ctx context.Context, o client.Object) []reconcile.Request {
	if o.GetName() != v1alpha1.AdoptedClusterName {
		return nil
	}
	return r.poolsThat(ctx, o.GetNamespace(), func(*v1alpha1.NodePool) bool { return true })
}

func (r *Reconciler) allPools(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.poolsThat(ctx, "", func(*v1alpha1.NodePool) bool { return true })
}

func (r *Reconciler) poolsOfTemplate(ctx context.Context, o *unstructured.Unstructured) []reconcile.Request {
	kind := o.GroupVersionKind()
	return r.poolsThat(ctx, o.GetNamespace(), func(p *v1alpha1.NodePool) bool {
		ref := p.Spec.Template.Spec.InfrastructureRef
		return ref.APIGroup == kind.Group && ref.Kind == kind.Kind && ref.Name == o.GetName()
	})
}

func (r *Reconciler) poolsThat(ctx context.Context, namespace string, match func(*v1alpha1.NodePool) bool) []reconcile.Request {
	list := &v1alpha1.NodePoolList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list NodePools")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if match(&list.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// templateWatches watches each kind of infrastructure template from when a pool first names it.
type templateWatches struct {
	controller controller.Controller
	cache      cache.Cache
	pools      func(context.Context, *unstructured.Unstructured) []reconcile.Request

	mu      sync.Mutex
	watched map[schema.GroupVersionKind]bool
}

// watch begins to watch a kind, unless it is watched already or mayList fails. A cache waits without end for the first
// list of a kind, one that is forbidden as well, so nobody asks it for a kind before a list has succeeded.
func (w *templateWatches) watch(kind schema.GroupVersionKind, mayList func() error) error {
	if w == nil {
		return mayList()
	}
	if w.isWatched(kind) {
		return nil
	}
	if err := mayList(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[kind] {
		return nil
	}
	template := &unstructured.Unstructured{}
	template.SetGroupVersionKind(kind)
	unchanged := predicate.TypedGenerationChangedPredicate[*unstructured.Unstructured]{}
	if err := w.controller.Watch(source.Kind(w.cache, template, handler.TypedEnqueueRequestsFromMapFunc(w.pools), unchanged)); err != nil {
		return fmt.Errorf("watch %s: %w", kind, err)
	}
	if w.watched == nil {
		w.watched = map[schema.GroupVersionKind]bool{}
	}
	w.watched[kind] = true
	return nil
}

func (w *templateWatches) isWatched(kind schema.GroupVersionKind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watched[kind]
}
