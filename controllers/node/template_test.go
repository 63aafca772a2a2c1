package node

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func templatePool(labels map[string]v1alpha1.LabelValue, taints ...v1alpha1.Taint) *v1alpha1.NodePool {
	pool := &v1alpha1.NodePool{}
	pool.Namespace, pool.Name, pool.UID = "default", "workers", "uid"
	pool.Spec.Template.Metadata.Labels = labels
	pool.Spec.Template.Spec.Taints = taints
	return pool
}

// always are the labels that every Node of the pool has.
func always(more map[string]string) map[string]string {
	labels := map[string]string{
		v1alpha1.PoolLabel: "workers", v1alpha1.PoolUIDLabel: "uid", v1alpha1.PoolNamespaceLabel: "default", workerRoleLabel: "",
	}
	for key, value := range more {
		labels[key] = value
	}
	return labels
}

func TestApplyTemplate(t *testing.T) {
	gpu := v1alpha1.Taint{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}
	theirs := corev1.Taint{Key: "theirs", Effect: corev1.TaintEffectNoExecute}
	cases := []struct {
		reason     string
		labels     map[string]string
		taints     []corev1.Taint
		previous   applied
		pool       *v1alpha1.NodePool
		wantLabels map[string]string
		wantTaints []corev1.Taint
	}{
		{
			reason: "a new Node gets everything",
			pool:   templatePool(map[string]v1alpha1.LabelValue{"tier": "web"}, gpu),

			wantLabels: always(map[string]string{"tier": "web"}),
			wantTaints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
		},
		{
			reason: "others' labels and taints stay, in their order",
			labels: map[string]string{"kubernetes.io/hostname": "x"}, taints: []corev1.Taint{theirs},
			pool:       templatePool(nil, gpu),
			wantLabels: always(map[string]string{"kubernetes.io/hostname": "x"}),
			wantTaints: []corev1.Taint{theirs, {Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
		},
		{
			reason: "what the template dropped is taken back",
			labels: map[string]string{"tier": "web", "other": "x"},
			taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}, theirs},
			previous: applied{Labels: []string{"tier", v1alpha1.PoolLabel},
				Taints: []appliedTaint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}},
			pool:       templatePool(nil),
			wantLabels: always(map[string]string{"other": "x"}),
			wantTaints: []corev1.Taint{theirs},
		},
		{
			reason: "a label like a dropped one that Drover never put there stays",
			labels: map[string]string{"tier": "web"}, previous: applied{Labels: []string{v1alpha1.PoolLabel}},
			pool: templatePool(nil), wantLabels: always(map[string]string{"tier": "web"}),
		},
		{
			reason: "values follow the template",
			labels: map[string]string{"tier": "web"}, taints: []corev1.Taint{{Key: "gpu", Value: "no", Effect: corev1.TaintEffectNoSchedule}},
			pool:       templatePool(map[string]v1alpha1.LabelValue{"tier": "db"}, gpu),
			wantLabels: always(map[string]string{"tier": "db"}),
			wantTaints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
		},
		{
			reason: "a taint of the same key with another effect is another taint",
			taints: []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoExecute}},
			pool:   templatePool(nil, gpu), wantLabels: always(nil),
			wantTaints: []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoExecute}, {Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
		},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.reason, " ", "_"), func(t *testing.T) {
			node := &corev1.Node{}
			node.Labels, node.Spec.Taints = c.labels, c.taints
			if err := applyTemplate(node, c.pool, c.previous); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.wantLabels, node.Labels); diff != "" {
				t.Errorf("%s: labels (-want +got):\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(c.wantTaints, node.Spec.Taints); diff != "" {
				t.Errorf("%s: taints (-want +got):\n%s", c.reason, diff)
			}
			before := node.DeepCopy()
			previous, known, err := readApplied(node)
			if err != nil || !known {
				t.Fatalf("%s: the annotation is not there: %v", c.reason, err)
			}
			if err := applyTemplate(node, c.pool, previous); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, node); diff != "" {
				t.Errorf("%s: a second pass changed something (-first +second):\n%s", c.reason, diff)
			}
		})
	}
}

func TestAnUnreadableAnnotationSaysWhatToDo(t *testing.T) {
	node := &corev1.Node{}
	node.Annotations = map[string]string{v1alpha1.NodeTemplateAnnotation: "x"}
	if _, _, err := readApplied(node); err == nil || !strings.Contains(err.Error(), "remove the annotation") {
		t.Errorf("got %v, want an error that says to remove the annotation", err)
	}
}
