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

// fieldOwner owns the conditions that this controller applies to Machines: all that it ever applied, of which those that it leaves
// out are taken away.
const fieldOwner = "drover-nodeagent"

// applyConditions writes conditions of a Machine; a nil one is left out. Server-side apply touches those list entries alone, so it never
// conflicts with Cluster API, which writes the others. It returns the Machine that has them, without a version if it is gone.
func applyConditions(ctx context.Context, c client.Client, machine *clusterv1.Machine, conditions ...*metav1.Condition) (client.Object, error) {
	var list []any
	for _, next := range conditions {
		if next == nil {
			continue
		}
		condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(next)
		if err != nil {
			return nil, fmt.Errorf("encode condition %s: %w", next.Type, err)
		}
		list = append(list, condition)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": machine.Namespace, "name": machine.Name, "uid": string(machine.UID)},
		"status":   map[string]any{"conditions": list},
	}}
	patch.SetGroupVersionKind(clusterv1.GroupVersion.WithKind("Machine"))
	err := c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("write conditions of Machine %s/%s: %w", machine.Namespace, machine.Name, err)
	}
	return patch, nil
}
