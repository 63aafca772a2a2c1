package nodepool

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/ownership"
)

// strayField indexes Machines in the cache by the pool that owns them and that their labels do not name.
const strayField = "fleet.drover.dev/stray-of"

func byStray(object client.Object) []string {
	if uid := ownership.StrayOf(object); uid != "" {
		return []string{string(uid)}
	}
	return nil
}

// strays are the pool's Machines that a list by its label does not find, as somebody edited that. They count as if it were
// there, so that no other machine is made in the moment before it is put back.
func (r *Reconciler) strays(ctx context.Context, pool *v1alpha1.NodePool) ([]*clusterv1.Machine, error) {
	list := &clusterv1.MachineList{}
	options := []client.ListOption{client.InNamespace(pool.Namespace), client.UnsafeDisableDeepCopy}
	if r.indexed {
		options = append(options, client.MatchingFields{strayField: string(pool.UID)})
	}
	if err := r.Client.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("list the Machines that lack the label of NodePool %s: %w", client.ObjectKeyFromObject(pool), err)
	}
	var strays []*clusterv1.Machine
	for i := range list.Items {
		if machine := &list.Items[i]; isStray(pool, machine) {
			mended, _ := ownership.Mended(pool, machine)
			strays = append(strays, mended)
		}
	}
	return strays, nil
}

// isStray says that a Machine is the pool's and not in a list by its label.
func isStray(pool *v1alpha1.NodePool, machine *clusterv1.Machine) bool {
	return machine.Labels[v1alpha1.PoolUIDLabel] != string(pool.UID) && ownership.Has(pool, machine)
}

// liveStrays are the same, as they are now: whatever the cache has that a live list by the label does not is looked at. Most of it
// is gone.
func (r *Reconciler) liveStrays(ctx context.Context, pool *v1alpha1.NodePool, cached, listed []*clusterv1.Machine) ([]*clusterv1.Machine, error) {
	found := make(map[types.UID]bool, len(listed))
	for _, machine := range listed {
		found[machine.UID] = true
	}
	var strays []*clusterv1.Machine
	for _, machine := range cached {
		if found[machine.UID] {
			continue
		}
		live, err := lookup.GetOrNil(ctx, r.APIReader, client.ObjectKeyFromObject(machine), &clusterv1.Machine{})
		if err != nil {
			return nil, err
		}
		if live != nil && live.UID == machine.UID && ownership.Has(pool, live) {
			mended, _ := ownership.Mended(pool, live)
			strays = append(strays, mended)
		}
	}
	return strays, nil
}
