package nodeagent

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
