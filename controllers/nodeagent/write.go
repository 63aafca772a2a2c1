package nodeagent

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
)

// fieldOwner owns the one condition that this controller applies to Machines.
const fieldOwner = "drover-nodeagent"

// applyCondition writes one condition of a Machine. Server-side apply touches that list entry alone, so it never
// conflicts with Cluster API, which writes the others. It returns the Machine that has the condition, without
// a version if it is gone.
func applyCondition(ctx context.Context, c client.Client, machine *clusterv1.Machine, next *metav1.Condition) (client.Object, error) {
	condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(next)
	if err != nil {
		return nil, fmt.Errorf("encode condition %s: %w", next.Type, err)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": machine.Namespace, "name": machine.Name, "uid": string(machine.UID)},
		"status":   map[string]any{"conditions": []any{condition}},
	}}
	patch.SetGroupVersionKind(clusterv1.GroupVersion.WithKind("Machine"))
	err = c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("write condition %s of Machine %s/%s: %w", next.Type, machine.Namespace, machine.Name, err)
	}
	return patch, nil
}

// patchNode writes what differs between two states of a Node, if anything does. The list of taints is replaced as a
// whole, so it is written only onto the very version of the Node that it was computed from.
func patchNode(ctx context.Context, c client.Client, before, after *corev1.Node) (bool, error) {
	if equality.Semantic.DeepEqual(before, after) {
		return false, nil
	}
	patch := client.MergeFrom(before)
	if !equality.Semantic.DeepEqual(before.Spec.Taints, after.Spec.Taints) {
		patch = client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	}
	err := c.Patch(ctx, after, patch)
	if refused(err) {
		return false, troublef(v1alpha1.ReasonTemplateNotApplied, "put the pool's labels and taints onto Node %s: %w: change the pool's template, or what refuses it", before.Name, err)
	}
	if err != nil {
		return false, fmt.Errorf("put the pool's labels and taints onto Node %s: %w", before.Name, err)
	}
	return true, nil
}

// registeredTaints are those that the kubelet registered its Node with. The pool may have dropped some since the
// bootstrap Secret was written; they are ours to remove all the same.
func (r *Reconciler) registeredTaints(ctx context.Context, machine *clusterv1.Machine) ([]appliedTaint, error) {
	name := types.NamespacedName{Namespace: machine.Namespace, Name: machine.Name + v1alpha1.BootstrapSecretSuffix}
	secret, err := lookup.GetOrNil(ctx, r.Management.Live, name, &corev1.Secret{})
	if apierrors.IsForbidden(err) {
		return nil, troublef(v1alpha1.ReasonTemplateNotApplied, "%s", v1alpha1.SecretsForbidden(name.Namespace, err))
	}
	if err != nil || secret == nil {
		return nil, err
	}
	var bootstrap node.Bootstrap
	if err := json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], &bootstrap); err != nil {
		return nil, troublef(v1alpha1.ReasonTemplateNotApplied, "read the taints in bootstrap Secret %s: %w: delete the Machine to have it replaced", name, err)
	}
	return taintIDs(bootstrap.Taints), nil
}
