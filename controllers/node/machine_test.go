package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// TestApplyMachine. That Cluster API itself would write the same, a test of package engine says.
func TestApplyMachine(t *testing.T) {
	const synced = "a." + clusterv1.ManagedNodeLabelDomain + "/b"
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "m", Labels: map[string]string{synced: "c", "tier": "web"}, Annotations: map[string]string{synced: "d", "note": "x"},
	}}
	machine.Spec.ClusterName = "drover"
	for _, c := range []struct {
		reason                      string
		labels, annotations         map[string]string
		wantLabels, wantAnnotations map[string]string
	}{
		{
			reason:      "a new Node gets everything, and keeps what others put there",
			labels:      map[string]string{"kubernetes.io/hostname": "x"},
			annotations: map[string]string{"theirs": ""},
			wantLabels:  map[string]string{"kubernetes.io/hostname": "x", synced: "c"},
			wantAnnotations: map[string]string{
				"theirs": "", clusterv1.ClusterNameAnnotation: "drover", clusterv1.ClusterNamespaceAnnotation: "default", clusterv1.MachineAnnotation: "m",
				synced: "d", clusterv1.LabelsFromMachineAnnotation: synced, clusterv1.AnnotationsFromMachineAnnotation: synced,
			},
		},
		{
			reason:          "what Cluster API keeps it keeps alone",
			annotations:     map[string]string{clusterv1.LabelsFromMachineAnnotation: ""},
			wantAnnotations: map[string]string{clusterv1.LabelsFromMachineAnnotation: ""},
		},
	} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: c.labels, Annotations: c.annotations}}
		applyMachine(node, machine)
		if diff := cmp.Diff(c.wantLabels, node.Labels); diff != "" {
			t.Errorf("%s: labels (-want +got):\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(c.wantAnnotations, node.Annotations); diff != "" {
			t.Errorf("%s: annotations (-want +got):\n%s", c.reason, diff)
		}
	}
}
