package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// workerRoleLabel gives the ROLES column of kubectl get nodes something to show.
const workerRoleLabel = "node-role.kubernetes.io/worker"

// applied is what Drover put onto a Node: the value of NodeTemplateAnnotation.
type applied struct {
	Labels []string       `json:"labels,omitempty"`
	Taints []appliedTaint `json:"taints,omitempty"`
}

// appliedTaint identifies a taint; a Node has at most one for each key and effect.
type appliedTaint struct {
	Key    string             `json:"key"`
	Effect corev1.TaintEffect `json:"effect"`
}

// readApplied is what an earlier pass put onto the Node. ok is false on the first pass.
func readApplied(node *corev1.Node) (previous applied, ok bool, err error) {
	text, ok := node.Annotations[v1alpha1.NodeTemplateAnnotation]
	if !ok {
		return applied{}, false, nil
	}
	if err := json.Unmarshal([]byte(text), &previous); err != nil {
		return applied{}, true, notAppliedf("read annotation %s of Node %s: %w: remove the annotation", v1alpha1.NodeTemplateAnnotation, node.Name, err)
	}
	return previous, true, nil
}

// IsMarked says that a Node has marks of a pool's: its machine has not just joined.
func IsMarked(node *corev1.Node) bool {
	return metav1.HasAnnotation(node.ObjectMeta, v1alpha1.NodeTemplateAnnotation)
}

// wantedLabels are the labels that a pool's Nodes carry.
func wantedLabels(pool *v1alpha1.NodePool) map[string]string {
	labels := map[string]string{
		v1alpha1.PoolLabel:          pool.Name,
		v1alpha1.PoolUIDLabel:       string(pool.UID),
		v1alpha1.PoolNamespaceLabel: pool.Namespace,
		workerRoleLabel:             "",
	}
	for key, value := range pool.Spec.Template.Metadata.Labels {
		labels[key] = string(value)
	}
	return labels
}

// applyTemplate brings a Node's labels and taints to what its pool's template says, and takes back what an earlier
// template said. Others' labels and taints stay as they are, and in their order.
func applyTemplate(node *corev1.Node, pool *v1alpha1.NodePool, previous applied) error {
	labels := wantedLabels(pool)
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	for _, key := range previous.Labels {
		if _, wanted := labels[key]; !wanted {
			delete(node.Labels, key)
		}
	}
	delete(node.Labels, v1alpha1.NoPoolLabel)
	maps.Copy(node.Labels, labels)

	next := applied{Labels: slices.Sorted(maps.Keys(labels))}
	for _, taint := range pool.Spec.Template.Spec.Taints {
		next.Taints = append(next.Taints, appliedTaint{Key: taint.Key, Effect: taint.Effect})
	}
	node.Spec.Taints = mergeTaints(node.Spec.Taints, pool.Spec.Template.Spec.Taints, previous.Taints, next.Taints)

	record, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode annotation %s: %w", v1alpha1.NodeTemplateAnnotation, err)
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	node.Annotations[v1alpha1.NodeTemplateAnnotation] = string(record)
	return nil
}

func mergeTaints(present []corev1.Taint, wanted []v1alpha1.Taint, previous, next []appliedTaint) []corev1.Taint {
	var merged []corev1.Taint
	has := map[appliedTaint]int{}
	for _, taint := range present {
		id := appliedTaint{Key: taint.Key, Effect: taint.Effect}
		if slices.Contains(previous, id) && !slices.Contains(next, id) {
			continue
		}
		has[id] = len(merged)
		merged = append(merged, taint)
	}
	for _, taint := range wanted {
		if at, ok := has[appliedTaint{Key: taint.Key, Effect: taint.Effect}]; ok {
			merged[at].Value = string(taint.Value)
			continue
		}
		merged = append(merged, corev1.Taint{Key: taint.Key, Value: string(taint.Value), Effect: taint.Effect})
	}
	return merged
}

// taintIDs identifies the taints of a template.
func taintIDs(taints []v1alpha1.Taint) []appliedTaint {
	var ids []appliedTaint
	for _, taint := range taints {
		ids = append(ids, appliedTaint{Key: taint.Key, Effect: taint.Effect})
	}
	return ids
}
