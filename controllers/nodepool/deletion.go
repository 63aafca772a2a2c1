package nodepool

import (
	"context"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/controllers/planner"
)

// keepDeletion has the Machines of a pool be deleted as the pool says, as Cluster API's MachineSets do: those first that are being
// deleted already. It costs a write for each Machine when the pool is edited, and none otherwise.
func (r *Reconciler) keepDeletion(ctx context.Context, seen *observation) error {
	if ptr.Deref(seen.Pool.Spec.Paused, false) {
		return nil
	}
	wanted := seen.Pool.MachineDeletion()
	var leaving, others []planner.Action
	machines := map[string]*clusterv1.Machine{}
	for _, m := range seen.Machines {
		machines[m.Name] = m
		switch {
		case equality.Semantic.DeepEqual(m.Spec.Deletion, wanted) || r.machines.IsOlder(m):
		case m.DeletionTimestamp.IsZero():
			others = append(others, planner.Action{Name: m.Name})
		default:
			leaving = append(leaving, planner.Action{Name: m.Name})
		}
	}
	_, errs := r.forEach(ctx, slices.Concat(leaving, others), func(ctx context.Context, one planner.Action) error {
		return r.setDeletion(ctx, machines[one.Name], wanted)
	}, never)
	return errors.Join(errs...)
}

func (r *Reconciler) setDeletion(ctx context.Context, machine *clusterv1.Machine, wanted clusterv1.MachineDeletionSpec) error {
	next := machine.DeepCopy()
	next.Spec.Deletion = wanted
	if err := r.Client.Patch(ctx, next, client.MergeFrom(machine)); err != nil {
		return ignoreGone(err, "set how Machine %s is deleted", machine.Name)
	}
	r.machines.Wrote(next)
	return nil
}
