package nodepool

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/ownership"
)

const (
	// poolField indexes Machines in the cache by the UIDs of the pool that their label names and of the one that owns them.
	poolField = "fleet.drover.dev/pool-of"
	// leavingField indexes those that are being deleted by the name in their label, of whatever pool that is.
	leavingField = "fleet.drover.dev/leaving-of"
)

func byPool(object client.Object) []string {
	var uids []string
	for _, uid := range []string{object.GetLabels()[v1alpha1.PoolUIDLabel], string(ownership.StrayOf(object))} {
		if uid != "" && !slices.Contains(uids, uid) {
			uids = append(uids, uid)
		}
	}
	return uids
}

func byLeaving(object client.Object) []string {
	if name := object.GetLabels()[v1alpha1.PoolLabel]; name != "" && !object.GetDeletionTimestamp().IsZero() {
		return []string{name}
	}
	return nil
}

// by selects by an index of the cache, where there is one. Without it each Machine of the namespace is looked at.
func (r *Reconciler) by(field, value string) client.ListOption {
	if !r.indexed {
		return &client.ListOptions{}
	}
	return client.MatchingFields{field: value}
}

// cachedMachines are the pool's Machines, as the cache has them. Those that lack its label, as somebody edited that, count as if it were
// there, so that no other machine is made in the moment before it is put back.
func (r *Reconciler) cachedMachines(ctx context.Context, pool *v1alpha1.NodePool) ([]*clusterv1.Machine, error) {
	list := &clusterv1.MachineList{}
	// Nothing that is read here is changed: no need to copy 10,000 Machines out of the cache.
	if err := r.Client.List(ctx, list, client.InNamespace(pool.Namespace), client.UnsafeDisableDeepCopy, r.by(poolField, string(pool.UID))); err != nil {
		return nil, fmt.Errorf("list the Machines of NodePool %s: %w", client.ObjectKeyFromObject(pool), err)
	}
	machines := make([]*clusterv1.Machine, 0, len(list.Items))
	for i := range list.Items {
		machine := &list.Items[i]
		if isStray(pool, machine) {
			machine, _ = ownership.Mended(pool, machine)
		}
		if machine.Labels[v1alpha1.PoolUIDLabel] == string(pool.UID) {
			machines = append(machines, machine)
		}
	}
	return machines, nil
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
