package nodepool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// waitForInfrastructure is how soon infrastructure machines that are being deleted are looked for again.
const waitForInfrastructure = time.Second

// finalize lets a pool go whose last Machine is gone: it collects the infrastructure machines that never got a
// Machine, then the revisions, and then removes the finalizer.
func (r *Reconciler) finalize(ctx context.Context, seen *observation) (ctrl.Result, error) {
	left, err := r.infrastructureMachines(ctx, seen)
	if apierrors.IsForbidden(err) {
		seen.problem(planner.Problem{
			Reason:  v1alpha1.ReasonMachinesForbidden,
			Message: fmt.Sprintf("The pool may have left infrastructure machines that the manager may not read: %v: let a ClusterRole allow it to list and delete them", err),
		})
		return ctrl.Result{RequeueAfter: retryUnserved}, r.report(ctx, seen, planner.Plan(seen.Snapshot), planner.Outcome{})
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(left) > 0 {
		return ctrl.Result{RequeueAfter: waitForInfrastructure}, r.deleteAll(ctx, left)
	}
	for i := range seen.stored {
		if err := ignoreGone(r.Client.Delete(ctx, &seen.stored[i]), "delete ControllerRevision %s", seen.stored[i].Name); err != nil {
			return ctrl.Result{}, err
		}
	}
	pool := seen.Pool.DeepCopy()
	if !controllerutil.RemoveFinalizer(pool, v1alpha1.NodePoolFinalizer) {
		return ctrl.Result{}, nil
	}
	patch := client.MergeFromWithOptions(seen.Pool, client.MergeFromWithOptimisticLock{})
	if err := ignoreGone(r.Client.Patch(ctx, pool, patch), "remove the finalizer of NodePool %s", client.ObjectKeyFromObject(pool)); err != nil {
		return ctrl.Result{}, err
	}
	ctrl.LoggerFrom(ctx).Info("Let go of a pool without machines")
	return ctrl.Result{}, nil
}

// discard deletes the infrastructure machines of ordinals that are given up.
func (r *Reconciler) discard(ctx context.Context, seen *observation, actions []planner.Action) error {
	if len(actions) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, action := range actions {
		names[action.Name] = true
	}
	all, err := r.infrastructureMachines(ctx, seen)
	if err != nil {
		return err
	}
	return r.deleteAll(ctx, slices.DeleteFunc(all, func(u unstructured.Unstructured) bool { return !names[u.GetName()] }))
}

func (r *Reconciler) deleteAll(ctx context.Context, objects []unstructured.Unstructured) error {
	var errs []error
	for i := range objects {
		if !objects[i].GetDeletionTimestamp().IsZero() {
			continue
		}
		uid := objects[i].GetUID()
		err := r.Client.Delete(ctx, &objects[i], client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err := ignoreGone(err, "delete %s %s", objects[i].GetKind(), objects[i].GetName()); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// infrastructureMachines reads the pool's infrastructure machines, of every kind it ever used, from the API server. Of
// a kind that we may not list and that is in no revision, which is stored before the first machine, there are none.
func (r *Reconciler) infrastructureMachines(ctx context.Context, seen *observation) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	kinds := infrastructureKinds(seen)
	for _, kind := range slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) }) {
		mapping, err := r.Client.RESTMapper().RESTMapping(kind)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find kind %s: %w", kind, err)
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(mapping.GroupVersionKind.GroupVersion().WithKind(kind.Kind + "List"))
		err = r.APIReader.List(ctx, list, ofPool(seen.Pool)...)
		if apierrors.IsForbidden(err) && !kinds[kind] {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s of NodePool %s: %w", kind, client.ObjectKeyFromObject(seen.Pool), err)
		}
		all = append(all, list.Items...)
	}
	return all, nil
}

// infrastructureKinds are the kinds that the pool's machines are of, or may be; true for those a revision names.
func infrastructureKinds(seen *observation) map[schema.GroupKind]bool {
	kinds := map[schema.GroupKind]bool{machineKind(seen.Pool.Spec.Template.Spec.InfrastructureRef): false}
	for i := range seen.stored {
		var ref v1alpha1.InfrastructureReference
		if json.Unmarshal([]byte(seen.stored[i].Annotations[v1alpha1.InfrastructureAnnotation]), &ref) == nil && ref.Kind != "" {
			kinds[machineKind(ref)] = true
		}
	}
	return kinds
}

func machineKind(template v1alpha1.InfrastructureReference) schema.GroupKind {
	return schema.GroupKind{Group: template.APIGroup, Kind: strings.TrimSuffix(template.Kind, clusterv1.TemplateSuffix)}
}

// releaseOrphans lets go the Machines, already being deleted, that carry a pool's name and that no pool counts: its
// finalizer was taken by force, it may have been made again since under its name, or somebody edited a Machine's labels.
// A pool that is there keeps what it counts, and what has an ordinal of its own whose reservation is not over.
func (r *Reconciler) releaseOrphans(ctx context.Context, key types.NamespacedName, pool *v1alpha1.NodePool) error {
	list := &clusterv1.MachineList{}
	selector := client.MatchingLabels{v1alpha1.PoolLabel: key.Name}
	if err := r.Client.List(ctx, list, client.InNamespace(key.Namespace), selector, client.UnsafeDisableDeepCopy, r.by(leavingField, key.Name)); err != nil {
		return fmt.Errorf("list the Machines that carry the name of NodePool %s: %w", key, err)
	}
	var errs []error
	for i := range list.Items {
		machine := &list.Items[i]
		if !machine.DeletionTimestamp.IsZero() && !keeps(pool, machine) {
			errs = append(errs, r.releaseMachine(ctx, machine))
		}
	}
	return errors.Join(errs...)
}

func keeps(pool *v1alpha1.NodePool, machine *clusterv1.Machine) bool {
	if pool == nil {
		return false
	}
	return machine.Labels[v1alpha1.PoolUIDLabel] == string(pool.UID) || !planner.Settled(pool, machine)
}
