package lookup

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
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

// RevisionOf reads the ControllerRevision that a Machine was made from, live when the cache lags behind. Nil stands for
// one that does not exist.
func RevisionOf(ctx context.Context, cached, live client.Reader, machine *clusterv1.Machine) (*appsv1.ControllerRevision, error) {
	revision, err := GetOrNil(ctx, cached, RevisionName(machine), &appsv1.ControllerRevision{})
	if revision != nil || err != nil {
		return revision, err
	}
	return GetOrNil(ctx, live, RevisionName(machine), &appsv1.ControllerRevision{})
}

// OfPool says whether an object was made for a pool.
func OfPool(object client.Object) bool { return object.GetLabels()[v1alpha1.PoolUIDLabel] != "" }

// MachineOfAgent is the Machine whose name and whose pool's namespace the NodeAgent has.
func MachineOfAgent(_ context.Context, object client.Object) []reconcile.Request {
	namespace := object.GetLabels()[v1alpha1.PoolNamespaceLabel]
	if namespace == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: object.GetName()}}}
}
