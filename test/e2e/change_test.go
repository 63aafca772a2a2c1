package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// testAnEditOfAPoolReachesItsNodesAndABadOneIsRolledBack changes what a pool's nodes are to run under a pod on each: first to
// what works, then to what their kubelets refuse to start with, then back.
func testAnEditOfAPoolReachesItsNodesAndABadOneIsRolledBack(t *testing.T) {
	pool := world.newPool(t, "e2e-change", 2)
	world.awaitPool(t, pool.Name, 2)
	nodes, pods := []string{}, map[string]*corev1.Pod{}
	for _, m := range must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)) {
		nodes = append(nodes, m.Name)
		pods[m.Name] = world.startPod(t, busybox("e2e-change-on-"+m.Name, idle, onNode(m.Name)), corev1.PodRunning)
	}
	awaitUpdated(t, pool, 2, 2)
	first := pool.Status.Revision
	before, began := map[string]map[string]int32{}, map[string]string{}
	for _, node := range nodes {
		before[node], began[node] = pids(t, node), processOf(t, pods[node])
	}

	edit(t, pool, func(kubelet *fleetv1.KubeletSettings) { kubelet.MaxPods = ptr.To[int32](23) })
	awaitOneByOne(t, pool, "both nodes run the edited template", func() error {
		return errors.Join(poolIs(pool, fleetv1.ReadyCondition, fleetv1.ReasonAllReplicasReady), unless(ptr.Deref(pool.Status.UpdatedReplicas, 0) == 2, "its status is %+v", pool.Status))
	})
	good := pool.Status.Revision
	for _, node := range nodes {
		eventually(t, podsDeadline, "the Node has room for 23 pods", func(ctx context.Context) error {
			n, err := world.node(ctx, node)
			if err == nil && n.Status.Capacity.Pods().Value() != 23 {
				err = fmt.Errorf("it has room for %s", n.Status.Capacity.Pods())
			}
			return err
		})
		if got := world.agent(t, node).Status; got.CurrentRevision != good || got.PreviousRevision != first || got.FailedRevision != nil {
			t.Errorf("%s runs %q after %q, and %+v failed; want %q after %q and none", node, got.CurrentRevision, got.PreviousRevision, got.FailedRevision, good, first)
		}
		after := pids(t, node)
		if after[fleetv1.ComponentContainerd] != before[node][fleetv1.ComponentContainerd] || after[fleetv1.ComponentKubeProxy] != before[node][fleetv1.ComponentKubeProxy] ||
			after[fleetv1.ComponentKubelet] == before[node][fleetv1.ComponentKubelet] {
			t.Errorf("a setting of the kubelet's alone: the processes of %s were %v and are %v", node, before[node], after)
		}
	}

	edit(t, pool, func(kubelet *fleetv1.KubeletSettings) {
		kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{corev1.ResourceCPU: resource.MustParse("1000")}
	})
	awaitOneByOne(t, pool, "the pool says that a node went back", func() error { return poolIs(pool, fleetv1.StalledCondition, fleetv1.ReasonRolledBack) })
	refused := ""
	for _, node := range nodes {
		agent := world.agent(t, node)
		if agent.Spec.Revision == good {
			continue
		}
		if refused != "" {
			t.Errorf("%s and %s were both given what the first went back from", refused, node)
		}
		refused = node
		if failed := agent.Status.FailedRevision; agent.Status.Phase != fleetv1.PhaseRolledBack || agent.Status.CurrentRevision != good || failed == nil ||
			failed.Revision != pool.Status.Revision || failed.Component != fleetv1.ComponentKubelet {
			t.Errorf("the status of %s is %+v", node, agent.Status)
		}
	}
	if message := describe(pool.Status.Conditions); refused == "" || !strings.Contains(message, refused) || !strings.Contains(message, "Node Allocatable") {
		t.Errorf("%q went back, and the pool says %s; want the kubelet's own words", refused, message)
	}

	edit(t, pool, func(kubelet *fleetv1.KubeletSettings) { kubelet.SystemReserved = nil })
	awaitOneByOne(t, pool, "the template went back, and with it the node", func() error {
		return errors.Join(poolIs(pool, fleetv1.ReadyCondition, fleetv1.ReasonAllReplicasReady), unless(pool.Status.Revision == good && ptr.Deref(pool.Status.UpdatedReplicas, 0) == 2, "its status is %+v", pool.Status))
	})
	for _, node := range nodes {
		awaitPhase(t, node, fleetv1.PhaseCommitted, good)
		if err := world.Get(t.Context(), client.ObjectKeyFromObject(pods[node]), pods[node]); err != nil {
			t.Fatal(err)
		}
		if got := pods[node].Status.ContainerStatuses[0]; got.RestartCount != 0 || processOf(t, pods[node]) != began[node] {
			t.Errorf("the process of the pod on %s is not the one that it was: %+v", node, got)
		}
	}
}

// processOf tells a pod's first process from any other: its container, and when it began by the kernel's clock.
func processOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	began, err := world.exec(t.Context(), pod, "cut", "-d", " ", "-f", "22", "/proc/1/stat")
	if err != nil {
		t.Fatal(err)
	}
	return pod.Status.ContainerStatuses[0].ContainerID + " " + began
}

// edit changes the kubelet's settings in a pool's template.
func edit(t *testing.T, pool *fleetv1.NodePool, change func(*fleetv1.KubeletSettings)) {
	t.Helper()
	*pool = *world.edit(t, pool.Name, func(pool *fleetv1.NodePool) { change(&pool.Spec.Template.Spec.Kubelet) })
}

// poolIs says whether a pool, as it was read last, has a condition for a reason, and about what it was asked for last.
func poolIs(pool *fleetv1.NodePool, conditionType, reason string) error {
	c := meta.FindStatusCondition(pool.Status.Conditions, conditionType)
	current := pool.Status.ObservedGeneration == pool.Generation
	return unless(current && c != nil && c.Status == metav1.ConditionTrue && c.Reason == reason, "generation %d of %d: %s", pool.Status.ObservedGeneration, pool.Generation, describe(pool.Status.Conditions))
}

// awaitOneByOne waits for something, while no two nodes of the pool may be on their way from one revision to another.
func awaitOneByOne(t *testing.T, pool *fleetv1.NodePool, what string, check func() error) {
	t.Helper()
	eventually(t, nodesDeadline, what, func(ctx context.Context) error {
		var agents fleetv1.NodeAgentList
		if err := world.List(ctx, &agents, client.MatchingLabels{fleetv1.PoolUIDLabel: string(pool.UID)}); err != nil {
			return err
		}
		var underWay []string
		for i := range agents.Items {
			a := &agents.Items[i]
			if a.Status.ObservedGeneration != a.Generation || a.Status.Phase != fleetv1.PhaseCommitted && a.Status.Phase != fleetv1.PhaseRolledBack {
				underWay = append(underWay, a.Name)
			}
		}
		if len(underWay) > 1 {
			t.Errorf("%v are changed at once", underWay)
		}
		if err := world.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		return check()
	})
}

// agent is a node's NodeAgent.
func (w *World) agent(t *testing.T, node string) *fleetv1.NodeAgent {
	t.Helper()
	agent := &fleetv1.NodeAgent{}
	if err := w.Get(t.Context(), client.ObjectKey{Name: node}, agent); err != nil {
		t.Fatal(err)
	}
	return agent
}

// awaitPhase waits until a node's wanted revision is in a phase and it runs a revision, any where that is empty.
func awaitPhase(t *testing.T, node string, phase fleetv1.NodeAgentPhase, runs string) {
	t.Helper()
	eventually(t, nodesDeadline, fmt.Sprintf("%s is %s and runs %q", node, phase, runs), func(context.Context) error {
		got := world.agent(t, node)
		done := got.Status.Phase == phase && (runs == "" || got.Status.CurrentRevision == runs) && got.Status.ObservedGeneration == got.Generation
		return unless(done, "it is %s and runs %s, of generation %d of %d: %s", got.Status.Phase, got.Status.CurrentRevision, got.Status.ObservedGeneration, got.Generation,
			describe(got.Status.Conditions))
	})
}

// pids are the processes of a node's components.
func pids(t *testing.T, node string) map[string]int32 {
	t.Helper()
	all := map[string]int32{}
	for _, c := range world.agent(t, node).Status.Components {
		all[c.Name] = ptr.Deref(c.PID, 0)
	}
	return all
}
