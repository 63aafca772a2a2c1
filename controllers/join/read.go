package join

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// getOrNil reads an object; nil stands for one that does not exist.
func getOrNil[T client.Object](ctx context.Context, reader client.Reader, name types.NamespacedName, into T) (T, error) {
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

// poolOf reads the pool that a Machine's label names, or nil.
func poolOf(ctx context.Context, reader client.Reader, machine *clusterv1.Machine) (*v1alpha1.NodePool, error) {
	name := types.NamespacedName{Namespace: machine.Namespace, Name: machine.Labels[v1alpha1.PoolLabel]}
	return getOrNil(ctx, reader, name, &v1alpha1.NodePool{})
}
