package node

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"
	"sigs.k8s.io/cluster-api/util/labels"
)

// applyMachine puts onto a Node what Cluster API is about to put there of its Machine, in its own words (patchNode of its Machine
// reconciler): it then finds that done, which saves each machine a write. What Cluster API has put there once it alone changes.
func applyMachine(node *corev1.Node, of *clusterv1.Machine) {
	if _, done := node.Annotations[clusterv1.LabelsFromMachineAnnotation]; done {
		return
	}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	managed := labels.GetManagedLabels(of.Labels)
	maps.Copy(node.Labels, managed)
	node.Annotations[clusterv1.LabelsFromMachineAnnotation] = keys(managed)
	managed = annotations.GetManagedAnnotations(of)
	maps.Copy(node.Annotations, managed)
	maps.DeleteFunc(managed, func(key, _ string) bool { return slices.Contains(unlisted, key) })
	node.Annotations[clusterv1.AnnotationsFromMachineAnnotation] = keys(managed)
}

// unlisted are the annotations that Cluster API puts onto each Node and does not list there (CommonNodeAnnotations).
var unlisted = []string{
	clusterv1.ClusterNameAnnotation, clusterv1.ClusterNamespaceAnnotation, clusterv1.MachineAnnotation,
	clusterv1.OwnerKindAnnotation, clusterv1.OwnerNameAnnotation,
}

func keys(values map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(values)), ",")
}
