package fence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

const (
	// providerIDPrefix is what the provider IDs of Drover's own providers begin with.
	providerIDPrefix = "drover-"
	// pageSize is how many Machines are read from the API server at a time.
	pageSize = 500
)

// IsMarked says that a Node has the provider ID of a provider of Drover's, or what only the manager can have written.
func IsMarked(node *corev1.Node) bool {
	return strings.HasPrefix(node.Spec.ProviderID, providerIDPrefix) ||
		node.Labels[v1alpha1.PoolUIDLabel] != "" || node.Annotations[v1alpha1.NodeTemplateAnnotation] != ""
}

// hasMachine says that a Machine stands for a Node: one with its provider ID, or, where one of the two has none yet, a
// pool's by its name. A cache has no pages.
func hasMachine(ctx context.Context, side sides.Side, live bool, node *corev1.Node) (bool, error) {
	reader, machines := side.Reader(live), &clusterv1.MachineList{}
	for {
		options := []client.ListOption{client.UnsafeDisableDeepCopy}
		if live {
			options = []client.ListOption{client.Limit(pageSize), client.Continue(machines.Continue)}
		}
		if err := reader.List(ctx, machines, options...); err != nil {
			return false, fmt.Errorf("look for the Machine of Node %s: %w", node.Name, err)
		}
		for i := range machines.Items {
			if standsFor(&machines.Items[i], node) {
				return true, nil
			}
		}
		if !live || machines.Continue == "" {
			return false, nil
		}
	}
}

func standsFor(machine *clusterv1.Machine, node *corev1.Node) bool {
	machineID, nodeID := machine.Spec.ProviderID, node.Spec.ProviderID
	if machineID != "" && nodeID != "" {
		return machineID == nodeID
	}
	return machine.Name == node.Name && lookup.MayBeOfPool(machine)
}

func isOurTaint(taint corev1.Taint) bool { return taint.Key == taintKey }

func hasTaint(node *corev1.Node) bool { return slices.ContainsFunc(node.Spec.Taints, isOurTaint) }

// setTaint puts the taint onto the Node, or takes it away, and says whether that changed anything.
func setTaint(node *corev1.Node, on bool) bool {
	if hasTaint(node) == on {
		return false
	}
	if on {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: taintKey, Effect: corev1.TaintEffectNoSchedule})
		return true
	}
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, isOurTaint)
	return true
}
