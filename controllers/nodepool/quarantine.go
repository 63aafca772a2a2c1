package nodepool

import (
	"context"
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// suspect begins what a repair has to say of a Host. What people write there begins otherwise, and is theirs.
const suspect = "its machine was replaced: "

// suspectHost has the Machine say, where it runs on a Host, that this is not to be claimed again when it is released, as the next machine
// would be as ill there. It returns what the API server has then, and fails if anybody wrote the Machine since it was read.
func (r *Reconciler) suspectHost(ctx context.Context, seen *clusterv1.Machine, why string) (*clusterv1.Machine, error) {
	ref := seen.Spec.InfrastructureRef
	if _, already := seen.Annotations[v1alpha1.QuarantineAnnotation]; already || ref.APIGroup != v1alpha1.GroupVersion.Group || ref.Kind != "HostMachine" {
		return seen, nil
	}
	machine := seen.DeepCopy()
	metav1.SetMetaDataAnnotation(&machine.ObjectMeta, v1alpha1.QuarantineAnnotation, v1alpha1.BoundMessage(suspect+why))
	return machine, r.patchMachine(ctx, seen, machine, "have the Host of Machine %s quarantined")
}

// trustHosts takes that back for machines that stay: one that was to go recovered in that very moment.
func (r *Reconciler) trustHosts(ctx context.Context, seen *observation, plan planner.Result) error {
	goes := map[string]bool{}
	for _, a := range plan.Of(planner.Delete) {
		goes[a.Name] = true
	}
	var errs []error
	for _, m := range seen.Machines {
		if goes[m.Name] || !m.DeletionTimestamp.IsZero() || !strings.HasPrefix(m.Annotations[v1alpha1.QuarantineAnnotation], suspect) {
			continue
		}
		machine := m.DeepCopy()
		delete(machine.Annotations, v1alpha1.QuarantineAnnotation)
		errs = append(errs, r.patchMachine(ctx, m, machine, "have the Host of Machine %s quarantined no more"))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) patchMachine(ctx context.Context, seen, machine *clusterv1.Machine, what string) error {
	err := r.Client.Patch(ctx, machine, client.MergeFromWithOptions(seen, client.MergeFromWithOptimisticLock{}))
	return ignoreGone(err, what, machine.Name)
}
