package node

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// TestWhoseANodeIs rests on provider IDs, and on its age only while Cluster API has not found it: the API server's clock may
// have been set back since.
func TestWhoseANodeIs(t *testing.T) {
	made := time.Unix(1_000_000, 0)
	const ours, theirs = "drover-local://default/x", "aws:///i-1"
	cases := []struct {
		reason            string
		nodeID, machineID string
		older, found      bool
		foreign           bool
	}{
		{"a Node of the machine's provider ID", ours, ours, false, false, false},
		{"one that Cluster API found, by a clock that was set back", ours, ours, true, true, false},
		{"one of another provider ID", theirs, ours, false, true, true},
		{"one of another provider ID that is older", theirs, ours, true, true, true},
		{"an older one that Cluster API did not find", ours, ours, true, false, true},
		{"one whose provider has not given it an ID", "", ours, false, false, false},
		{"one whose Machine has no ID yet", ours, "", false, false, false},
	}
	for _, c := range cases {
		machine, node := &clusterv1.Machine{}, &corev1.Node{}
		machine.CreationTimestamp, node.CreationTimestamp = metav1.NewTime(made), metav1.NewTime(made.Add(time.Second))
		machine.Spec.ProviderID, node.Spec.ProviderID = c.machineID, c.nodeID
		if c.older {
			node.CreationTimestamp = metav1.NewTime(made.Add(-time.Hour))
		}
		if c.found {
			machine.Status.NodeRef.Name = "x"
		}
		if got := Foreign(machine, node); (got != "") != c.foreign {
			t.Errorf("%s: got %q as why it is foreign, want one: %t", c.reason, got, c.foreign)
		}
	}
}
