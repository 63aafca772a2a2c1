package nodepool

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/controllers/planner"
)

// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines/status,verbs=patch

// answerOthers tells those who ask to have machines remediated what comes of it, but for those that are deleted: these have been told.
func (r *Reconciler) answerOthers(ctx context.Context, seen *observation, plan planner.Result) error {
	deleted := map[string]bool{}
	for _, a := range plan.Of(planner.Delete) {
		deleted[a.Name] = true
	}
	var errs []error
	for _, answer := range plan.Answers {
		if machine := seen.machine(answer.Name); machine != nil && !deleted[answer.Name] {
			_, err := r.answer(ctx, machine, answer)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// answer writes one onto the Machine, as whoever asks reads it there, and returns what the API server has then. It fails if anybody wrote
// the Machine since it was read: he may have taken it back.
func (r *Reconciler) answer(ctx context.Context, seen *clusterv1.Machine, answer planner.Answer) (*clusterv1.Machine, error) {
	machine := seen.DeepCopy()
	if answer.Condition == nil {
		meta.RemoveStatusCondition(&machine.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition)
	} else {
		condition := *answer.Condition
		condition.ObservedGeneration = machine.Generation
		meta.SetStatusCondition(&machine.Status.Conditions, condition)
	}
	err := r.Client.Status().Patch(ctx, machine, client.MergeFromWithOptions(seen, client.MergeFromWithOptimisticLock{}))
	return machine, ignoreGone(err, "answer who asks to have Machine %s remediated", machine.Name)
}
