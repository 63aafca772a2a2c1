package adopter

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/queueing"
)

// Reconciler makes the objects that stand for the cluster Drover runs in, in each namespace that has a NodePool, keeps
// them as Cluster API's contracts ask, and takes them away after the namespace's last pool and Machine.
type Reconciler struct {
	Client client.Client
	// Server finds out the API server's URL as nodes reach it.
	Server func(context.Context) (string, error)
	// Version asks the API server for its version.
	Version func() (string, error)
}

// SetupWithManager registers the reconciler. There is one request for each namespace.
func (r *Reconciler) SetupWithManager(_ context.Context, mgr manager.Manager) error {
	ours := builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetName() == v1alpha1.AdoptedClusterName
	}))
	return ctrl.NewControllerManagedBy(mgr).
		Named("adopter").
		Watches(&v1alpha1.NodePool{}, handler.EnqueueRequestsFromMapFunc(toNamespace), builder.WithPredicates(comesOrGoes())).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(toNamespace), builder.WithPredicates(goes())).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(toNamespace), ours).
		Watches(&v1alpha1.AdoptedCluster{}, handler.EnqueueRequestsFromMapFunc(toNamespace), ours).
		Watches(&v1alpha1.AdoptedControlPlane{}, handler.EnqueueRequestsFromMapFunc(toNamespace), ours).
		WithOptions(queueing.Options(1)).
		Complete(r)
}

func toNamespace(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: o.GetNamespace(), Name: v1alpha1.AdoptedClusterName,
	}}}
}

func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

func goes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
}

// Reconcile adopts the cluster in the request's namespace, or releases it there.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	used, err := r.used(ctx, req.Namespace)
	if err != nil {
		return reconcile.Result{}, err
	}
	leaving, err := r.leaving(ctx, req.Namespace)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !used || leaving {
		return reconcile.Result{}, r.release(ctx, req.Namespace)
	}
	facts, err := r.observe(ctx)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("adopt the cluster in namespace %s: %w", req.Namespace, err)
	}
	if err := r.adopt(ctx, req.Namespace, facts); err != nil {
		return reconcile.Result{}, fmt.Errorf("adopt the cluster in namespace %s: %w", req.Namespace, err)
	}
	return reconcile.Result{}, nil
}

// used says whether the namespace has a pool, or a Machine of the adopted cluster, which a user may have made.
func (r *Reconciler) used(ctx context.Context, namespace string) (bool, error) {
	pools := &v1alpha1.NodePoolList{}
	if err := r.Client.List(ctx, pools, client.InNamespace(namespace), client.Limit(1)); err != nil {
		return false, fmt.Errorf("list the pools of namespace %s: %w", namespace, err)
	}
	if len(pools.Items) > 0 {
		return true, nil
	}
	machines := &clusterv1.MachineList{}
	if err := r.Client.List(ctx, machines, client.InNamespace(namespace), client.Limit(1),
		client.MatchingLabels{clusterv1.ClusterNameLabel: v1alpha1.AdoptedClusterName}); err != nil {
		return false, fmt.Errorf("list the Machines of namespace %s: %w", namespace, err)
	}
	return len(machines.Items) > 0, nil
}

// leaving says whether a release is under way that must be brought to its end, although there is a pool again: the
// Cluster that was let go waits for the others to be gone, and they would be kept for the new one.
func (r *Reconciler) leaving(ctx context.Context, namespace string) (bool, error) {
	cluster := newCluster(namespace)
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return !cluster.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(cluster, v1alpha1.AdoptedClusterFinalizer), nil
}

// adopt makes what is missing and mends what differs. Each step is safe to repeat. The Cluster comes last: Cluster API
// waits long for what it does not find at first.
func (r *Reconciler) adopt(ctx context.Context, namespace string, facts facts) error {
	infrastructure := newAdoptedCluster(namespace)
	if err := r.ensure(ctx, infrastructure, func() { facts.describeCluster(infrastructure) }, func() {
		facts.reportCluster(infrastructure)
	}); err != nil {
		return err
	}
	controlPlane := newAdoptedControlPlane(namespace)
	if err := r.ensure(ctx, controlPlane, func() { facts.describeControlPlane(controlPlane) }, func() {
		facts.reportControlPlane(controlPlane)
	}); err != nil {
		return err
	}
	return r.ensureCluster(ctx, namespace)
}

func (r *Reconciler) ensureCluster(ctx context.Context, namespace string) error {
	cluster := newCluster(namespace)
	desired := cluster.DeepCopy()
	result, err := controllerutil.CreateOrPatch(ctx, r.Client, cluster, func() error {
		if cluster.ResourceVersion != "" && cluster.Labels[v1alpha1.ManagedLabel] != "true" {
			return errForeignCluster
		}
		hold(cluster)
		if cluster.ResourceVersion == "" {
			controllerutil.AddFinalizer(cluster, clusterv1.ClusterFinalizer) // Cluster API adds it anyway, in a write of its own
		}
		cluster.Labels = withLabels(cluster.Labels, desired.Labels)
		cluster.Spec.InfrastructureRef = desired.Spec.InfrastructureRef
		cluster.Spec.ControlPlaneRef = desired.Spec.ControlPlaneRef
		return nil
	})
	if err == nil && result == controllerutil.OperationResultCreated {
		log.FromContext(ctx).Info("Adopted the cluster in a namespace", "namespace", namespace)
	}
	return retryExisting(err)
}

// ensure creates or patches one object of the contracts, its spec first and then its status.
func (r *Reconciler) ensure(ctx context.Context, obj client.Object, describe, report func()) error {
	if _, err := controllerutil.CreateOrPatch(ctx, r.Client, obj, func() error {
		hold(obj)
		describe()
		return nil
	}); err != nil {
		return retryExisting(err)
	}
	before, err := copyOf(obj)
	if err != nil {
		return err
	}
	report()
	patch := client.MergeFrom(before)
	if data, err := patch.Data(obj); err != nil || string(data) == "{}" {
		return err
	}
	return r.Client.Status().Patch(ctx, obj, patch)
}

// hold puts the finalizer on. The API server allows that no more once a deletion is under way: an object that lost the
// finalizer before goes, and is then made again.
func hold(obj client.Object) {
	if obj.GetDeletionTimestamp().IsZero() {
		controllerutil.AddFinalizer(obj, v1alpha1.AdoptedClusterFinalizer)
	}
}

// retryExisting turns the one error that a cache behind the API server causes into one that reads like it.
func retryExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the cache has yet to see the object: %w", err)
	}
	return err
}

// release deletes the objects and lets them go. Cluster API then completes the deletion of the Cluster.
func (r *Reconciler) release(ctx context.Context, namespace string) error {
	var errs []error
	for _, obj := range []client.Object{newCluster(namespace), newAdoptedControlPlane(namespace), newAdoptedCluster(namespace)} {
		errs = append(errs, r.releaseOne(ctx, obj))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("release the cluster in namespace %s: %w", namespace, err)
	}
	return nil
}

func (r *Reconciler) releaseOne(ctx context.Context, obj client.Object) error {
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
		return client.IgnoreNotFound(err)
	}
	if _, ok := obj.(*clusterv1.Cluster); ok && obj.GetLabels()[v1alpha1.ManagedLabel] != "true" {
		return nil
	}
	if obj.GetDeletionTimestamp().IsZero() {
		if err := r.Client.Delete(ctx, obj, client.Preconditions{UID: ptr.To(obj.GetUID())}); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	before, err := copyOf(obj)
	if err != nil {
		return err
	}
	if !controllerutil.RemoveFinalizer(obj, v1alpha1.AdoptedClusterFinalizer) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Patch(ctx, obj, client.MergeFrom(before)))
}

// copyOf is a deep copy, as the kind of object a client writes.
func copyOf(obj client.Object) (client.Object, error) {
	copied, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return nil, fmt.Errorf("the copy of a %T is none", obj)
	}
	return copied, nil
}
