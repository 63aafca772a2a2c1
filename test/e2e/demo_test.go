package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	if len(pods) != 4 || len(perNode) != 2 {
		t.Errorf("4 ready pods on 2 nodes wanted, got %d on %v", len(pods), perNode)
	}
}

func TestEveryAgentSaysAllIsWell(t *testing.T) {
	want := []string{
		fleetv1.ClockSynchronizedCondition, fleetv1.DiskHealthyCondition, fleetv1.KubeletHealthyCondition, fleetv1.NetworkHealthyCondition,
		fleetv1.ProxyHealthyCondition, fleetv1.ReadyCondition, fleetv1.RuntimeHealthyCondition,
	}
	eventually(t, podsDeadline, "every condition of every NodeAgent is True", func(ctx context.Context) error {
		var agents fleetv1.NodeAgentList
		if err := world.List(ctx, &agents); err != nil {
			return err
		}
		if len(agents.Items) == 0 {
			return fmt.Errorf("there is no NodeAgent")
		}
		for _, agent := range agents.Items {
			var good []string
			for _, c := range agent.Status.Conditions {
				if c.Status == metav1.ConditionTrue {
					good = append(good, c.Type)
				}
			}
			slices.Sort(good)
			if diff := cmp.Diff(want, good); diff != "" {
				return fmt.Errorf("%s: conditions that are True (-want +got): %s; %s", agent.Name, diff, describe(agent.Status.Conditions))
			}
		}
		return nil
	})
}

func TestAgentReportsItsComponents(t *testing.T) {
	for _, agent := range agentsOf(t, "workers") {
		var names []string
		for _, component := range agent.Status.Components {
			names = append(names, component.Name)
			if component.State != fleetv1.ComponentRunning || component.Version == "" && component.Name != fleetv1.ComponentNetwork {
				t.Errorf("%s: component %s is %s, version %q", agent.Name, component.Name, component.State, component.Version)
			}
		}
		slices.Sort(names)
		if diff := cmp.Diff([]string{"containerd", "kube-proxy", "kubelet", "network"}, names); diff != "" {
			t.Errorf("%s: components (-want +got):\n%s", agent.Name, diff)
		}
		if len(agent.Status.BootTimeline) == 0 || agent.Status.AgentVersion == "" {
			t.Errorf("%s: the boot timeline or the agent's version is missing: %+v", agent.Name, agent.Status)
		}
	}
}

func TestNodesCarryLabelsProviderIDAndServingCertificates(t *testing.T) {
	nodes, err := world.nodes(t.Context(), "workers")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		if want := fleetv1.LocalProviderIDPrefix + "default/" + node.Name; node.Spec.ProviderID != want {
			t.Errorf("%s: provider ID %q, want %q", node.Name, node.Spec.ProviderID, want)
		}
		if node.Status.NodeInfo.KubeletVersion == "" || len(node.Spec.PodCIDRs) == 0 {
			t.Errorf("%s: kubelet version %q, pod ranges %v", node.Name, node.Status.NodeInfo.KubeletVersion, node.Spec.PodCIDRs)
		}
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
