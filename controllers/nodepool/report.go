package nodepool

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// report writes the pool's status, if it changed, raises the events, and counts what is deferred. What was done is told at
// once, as it is never done again; what is new in the status when that is written, as the next round would find it new again
// otherwise.
func (r *Reconciler) report(ctx context.Context, seen *observation, plan planner.Result, outcome planner.Outcome) error {
	status, events := planner.Report(seen.Snapshot, plan, outcome)
	key := client.ObjectKeyFromObject(seen.Pool)
	deferredActions.set(key, status.Disruption)
	told, news := r.untold.take(key, seen.Pool.Status), []planner.Event(nil)
	for _, e := range events {
		if e.OfStatus {
			news = append(news, e)
		} else {
			told = append(told, e)
		}
	}
	r.record(seen.Pool, told)
	if err := r.writeStatus(ctx, seen.Pool, status); err != nil {
		r.untold.keep(key, status, news)
		return ignoreGone(err, "write the status of NodePool %s", key)
	}
	r.record(seen.Pool, news)
	return nil
}

func (r *Reconciler) writeStatus(ctx context.Context, base *v1alpha1.NodePool, status v1alpha1.NodePoolStatus) error {
	if equality.Semantic.DeepEqual(status, base.Status) {
		return nil
	}
	pool := base.DeepCopy()
	pool.Status = status
	return r.patchStatus(ctx, base, pool)
}

// patchStatus writes a pool's status. The lock is for the reservation: it must not be cleared on the ground of an old
// read.
func (r *Reconciler) patchStatus(ctx context.Context, base, pool *v1alpha1.NodePool) error {
	r.said.Writes(client.ObjectKeyFromObject(pool), *pool.Status.DeepCopy())
	if err := r.Client.Status().Patch(ctx, pool, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return err //nolint:wrapcheck // the callers do
	}
	r.written.Wrote(pool)
	return nil
}

func (r *Reconciler) record(pool *v1alpha1.NodePool, events []planner.Event) {
	for _, e := range events {
		var related runtime.Object
		if e.Machine != "" {
			related = &clusterv1.Machine{
				TypeMeta:   metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine"},
				ObjectMeta: metav1.ObjectMeta{Namespace: pool.Namespace, Name: e.Machine, UID: e.MachineUID},
			}
		}
		r.Recorder.Eventf(pool, related, e.Type, e.Reason, e.Action, "%s", v1alpha1.BoundMessage(e.Note))
	}
}
