package lookup

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// GetOrNil reads an object; nil stands for one that does not exist.
func GetOrNil[T client.Object](ctx context.Context, reader client.Reader, name types.NamespacedName, into T) (T, error) {
	var none T
	err := reader.Get(ctx, name, into)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read %T %s: %w", into, name, err)
	}
	return into, nil
}

// PoolOf reads the pool that a Machine's label names, or nil.
func PoolOf(ctx context.Context, reader client.Reader, machine *clusterv1.Machine) (*v1alpha1.NodePool, error) {
	name := types.NamespacedName{Namespace: machine.Namespace, Name: machine.Labels[v1alpha1.PoolLabel]}
	return GetOrNil(ctx, reader, name, &v1alpha1.NodePool{})
}

// RevisionName is the ControllerRevision that a Machine was made from.
func RevisionName(machine *clusterv1.Machine) types.NamespacedName {
	return types.NamespacedName{
		Namespace: machine.Namespace,
		Name:      v1alpha1.RevisionName(machine.Labels[v1alpha1.PoolLabel], machine.Labels[v1alpha1.RevisionLabel]),
	}
}

// ToldRevisionName is the ControllerRevision that a Machine's node was told last to run.
func ToldRevisionName(machine *clusterv1.Machine) types.NamespacedName {
	return types.NamespacedName{
		Namespace: machine.Namespace,
		Name:      v1alpha1.RevisionName(machine.Labels[v1alpha1.PoolLabel], v1alpha1.ToldRevision(machine)),
	}
}

// RevisionOf reads a ControllerRevision, live when the cache lags behind. Nil stands for one that does not exist.
func RevisionOf(ctx context.Context, cached, live client.Reader, name types.NamespacedName) (*appsv1.ControllerRevision, error) {
	revision, err := GetOrNil(ctx, cached, name, &appsv1.ControllerRevision{})
	if revision != nil || err != nil {
		return revision, err
	}
	return GetOrNil(ctx, live, name, &appsv1.ControllerRevision{})
}

// OfPool says whether an object was made for a pool.
func OfPool(object client.Object) bool { return object.GetLabels()[v1alpha1.PoolUIDLabel] != "" }

// MayBeOfPool says whether an object may have been made for a pool, whatever somebody did to its labels since.
func MayBeOfPool(object client.Object) bool {
	return OfPool(object) || v1alpha1.IsMachineName(object.GetName())
}

// Requests are those for each object of a list, for a watch to enqueue; none where the list cannot be read, which is logged.
func Requests(ctx context.Context, reader client.Reader, list client.ObjectList, options ...client.ListOption) []reconcile.Request {
	if err := reader.List(ctx, list, options...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list what an event is about", "kind", fmt.Sprintf("%T", list))
		return nil
	}
	requests := make([]reconcile.Request, 0, meta.LenList(list))
	_ = meta.EachListItem(list, func(item runtime.Object) error { // which fails for what is no list alone
		if object, ok := item.(client.Object); ok {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
		}
		return nil
	})
	return requests
}

// MachineOfAgent is the Machine whose name and whose pool's namespace the NodeAgent has.
func MachineOfAgent(_ context.Context, object client.Object) []reconcile.Request {
	namespace := object.GetLabels()[v1alpha1.PoolNamespaceLabel]
	if namespace == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: object.GetName()}}}
}
