package nodepool

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// TestAnAgentWithoutAnImageForANodeIsRefused before any node is given it.
func TestAnAgentWithoutAnImageForANodeIsRefused(t *testing.T) {
	machine := func(name, architecture string) *clusterv1.Machine {
		m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if architecture != "" {
			m.Status.NodeInfo = &corev1.NodeSystemInfo{Architecture: architecture}
		}
		return m
	}
	going := machine("workers-3", "s390x")
	now := metav1.Now()
	going.DeletionTimestamp = &now
	for reason, c := range map[string]struct {
		names    []string
		machines []*clusterv1.Machine
		want     string
	}{
		"no agent is named":              {machines: []*clusterv1.Machine{machine("workers-0", "arm64")}},
		"each has one":                   {names: []string{"amd64", "arm64"}, machines: []*clusterv1.Machine{machine("workers-0", "arm64"), machine("workers-1", "amd64")}},
		"one has not joined":             {names: []string{"amd64"}, machines: []*clusterv1.Machine{machine("workers-0", "")}},
		"the one that has none is going": {names: []string{"amd64"}, machines: []*clusterv1.Machine{going}},
		"one has none": {names: []string{"amd64", "riscv64"}, machines: []*clusterv1.Machine{machine("workers-0", "amd64"), machine("workers-1", "arm64")},
			want: "Agent v0.2.0 has images for amd64, riscv64, and Machine workers-1 is of arm64: add one for that to spec.template.spec.agent.artifacts"},
	} {
		pool := &v1alpha1.NodePool{}
		if len(c.names) > 0 {
			pool.Spec.Template.Spec.Agent = &v1alpha1.AgentRelease{Version: "v0.2.0"}
		}
		for _, name := range c.names {
			pool.Spec.Template.Spec.Agent.Artifacts = append(pool.Spec.Template.Spec.Agent.Artifacts, v1alpha1.Artifact{Architecture: name})
		}
		seen := &observation{Snapshot: planner.Snapshot{Pool: pool, Machines: c.machines}}
		checkAgent(seen)
		got := ""
		for _, p := range seen.Problems {
			got += p.Message
			if p.Reason != v1alpha1.ReasonAgentImageMissing || p.Passing {
				t.Errorf("%s: the problem is %+v", reason, p)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", reason, got, c.want)
		}
	}
}
