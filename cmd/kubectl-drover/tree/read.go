package tree

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Fleet is what was read.
type Fleet struct {
	Pools    []v1alpha1.NodePool
	Machines []clusterv1.Machine
	Agents   []v1alpha1.NodeAgent
	Hosts    []v1alpha1.Host
	// Forbidden are the kinds that the user may not list, and which the tree is without.
	Forbidden []string
}

// Read lists the pools, machines and Hosts of a namespace, or of all for an empty one, and the agents, as far as the user
// may.
func Read(ctx context.Context, c client.Client, namespace string) (*Fleet, error) {
	var pools v1alpha1.NodePoolList
	if err := c.List(ctx, &pools, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list node pools: %w", err)
	}
	f := &Fleet{Pools: pools.Items}
	var machines clusterv1.MachineList
	err := c.List(ctx, &machines, client.InNamespace(namespace))
	if err := f.unlessForbidden("machines", err); err != nil {
		return nil, err
	}
	var agents v1alpha1.NodeAgentList
	if err := f.unlessForbidden("node agents", c.List(ctx, &agents)); err != nil {
		return nil, err
	}
	var hosts v1alpha1.HostList
	if err := c.List(ctx, &hosts, client.InNamespace(namespace)); !meta.IsNoMatchError(err) { // a manager from before Hosts
		if err := f.unlessForbidden("hosts", err); err != nil {
			return nil, err
		}
	}
	f.Machines, f.Agents, f.Hosts = slices.DeleteFunc(machines.Items, isOthers), agents.Items, hosts.Items
	return f, nil
}

// isOthers says that a Machine was made for no pool. One that somebody took its labels from has the name still.
func isOthers(m clusterv1.Machine) bool {
	return m.Labels[v1alpha1.PoolUIDLabel] == "" && !v1alpha1.IsMachineName(m.Name)
}

// unlessForbidden is the error of listing a kind, unless the user may not: a tree without it is better than none.
func (f *Fleet) unlessForbidden(kind string, err error) error {
	if apierrors.IsForbidden(err) {
		f.Forbidden = append(f.Forbidden, kind)
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", kind, err)
	}
	return nil
}

// missing says, in a line, what the tree is without; empty when that is nothing.
func (f *Fleet) missing() string {
	if len(f.Forbidden) == 0 {
		return ""
	}
	last := len(f.Forbidden) - 1
	list := strings.TrimPrefix(strings.Join(f.Forbidden[:last], ", ")+" and "+f.Forbidden[last], " and ")
	return fmt.Sprintf("Without %s, which you may not list: ask for the ClusterRole drover-viewer, bound for the whole cluster.\n", list)
}

// keepPool drops all pools but those of that name, and tells whether there is one.
func (f *Fleet) keepPool(name string) bool {
	f.Pools = slices.DeleteFunc(f.Pools, func(p v1alpha1.NodePool) bool { return p.Name != name })
	return len(f.Pools) > 0
}
