package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestDemoHasTwoReadyNodes(t *testing.T) {
	world.awaitPool(t, "workers", 2)
}

func TestDemoSpreadsHelloOverBothNodes(t *testing.T) {
	pods, err := world.pods(t.Context(), client.MatchingLabels{"app": "hello"})
	if err != nil {
		t.Fatal(err)
	}
	perNode := map[string]int{}
	for _, pod := range pods {
		perNode[pod.Spec.NodeName]++
	}
	nodes, err := world.nodes(t.Context(), "workers")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		if perNode[node.Name] != 2 {
			t.Errorf("%d ready pods of hello are on %s, want 2 of 4: %v", perNode[node.Name], node.Name, perNode)
		}
	}
	if len(nodes) != 2 || len(pods) != 4 {
		t.Errorf("%d ready pods on %d nodes, want 4 on 2", len(pods), len(nodes))
	}
}

// The API server trusts a kubelet's serving certificate only when the approver let it through.
func TestLogsAndExecGoThroughVerifiedKubelets(t *testing.T) {
	pods, err := world.pods(t.Context(), client.MatchingLabels{"app": "hello"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		if _, err := world.Clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context()); err != nil {
			t.Errorf("logs of %s on %s: %v", pod.Name, pod.Spec.NodeName, err)
		}
	}
}

func agentsOf(t *testing.T, pool string) []fleetv1.NodeAgent {
	t.Helper()
	var agents fleetv1.NodeAgentList
	if err := world.List(t.Context(), &agents, client.MatchingLabels{fleetv1.PoolLabel: pool}); err != nil {
		t.Fatal(err)
	}
	if len(agents.Items) == 0 {
		t.Fatalf("pool %s has no NodeAgent", pool)
	}
	return agents.Items
}
