package tree

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Fleet is what was read.
type Fleet struct {
	Pools    []v1alpha1.NodePool
	Machines []clusterv1.Machine
	Agents   []v1alpha1.NodeAgent
}

// Read lists the pools and machines of a namespace, or of all for an empty one, and the agents.
func Read(ctx context.Context, c client.Client, namespace string) (*Fleet, error) {
	var pools v1alpha1.NodePoolList
	if err := c.List(ctx, &pools, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list node pools: %w", err)
	}
	var machines clusterv1.MachineList
	if err := c.List(ctx, &machines, client.InNamespace(namespace), client.HasLabels{v1alpha1.PoolUIDLabel}); err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	var agents v1alpha1.NodeAgentList
	if err := c.List(ctx, &agents); err != nil {
		return nil, fmt.Errorf("list node agents: %w", err)
	}
	return &Fleet{Pools: pools.Items, Machines: machines.Items, Agents: agents.Items}, nil
}

// keepPool drops all pools but those of that name, and tells whether there is one.
func (f *Fleet) keepPool(name string) bool {
	f.Pools = slices.DeleteFunc(f.Pools, func(p v1alpha1.NodePool) bool { return p.Name != name })
	return len(f.Pools) > 0
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(s))
	utilruntime.Must(clusterv1.AddToScheme(s))
	return s
}
