package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// TestAChangeReachesANodeAndABadOneIsRolledBack changes what a node is to run, first to what works and then to what its kubelet
// refuses to start with, under a running pod.
func TestAChangeReachesANodeAndABadOneIsRolledBack(t *testing.T) {
	pool := world.newPool(t, "e2e-change", 1)
	world.awaitPool(t, pool.Name, 1)
	node := world.onlyMachine(t, pool).Name
	pod := world.startPod(t, busybox("e2e-change", idle, onNode(node)), corev1.PodRunning)
	container := pod.Status.ContainerStatuses[0].ContainerID
	awaitPhase(t, node, fleetv1.PhaseCommitted, "")
	first := world.agent(t, node).Status.CurrentRevision
	before := pids(t, node)

	wantOf(t, node, "e2e-good", func(spec *fleetv1.NodeAgentSpec) { spec.Kubelet.MaxPods = ptr.To[int32](23) })
	awaitPhase(t, node, fleetv1.PhaseCommitted, "e2e-good")
	eventually(t, podsDeadline, "the Node has room for 23 pods", func(ctx context.Context) error {
		n, err := world.node(ctx, node)
		if err == nil && n.Status.Capacity.Pods().Value() != 23 {
			err = fmt.Errorf("it has room for %s", n.Status.Capacity.Pods())
		}
		return err
	})
	if got := world.agent(t, node).Status; got.PreviousRevision != first || got.FailedRevision != nil {
		t.Errorf("before it there was %q, and %+v failed; want %q and none", got.PreviousRevision, got.FailedRevision, first)
	}
	after := pids(t, node)
	if after[fleetv1.ComponentContainerd] != before[fleetv1.ComponentContainerd] || after[fleetv1.ComponentKubeProxy] != before[fleetv1.ComponentKubeProxy] ||
		after[fleetv1.ComponentKubelet] == before[fleetv1.ComponentKubelet] {
		t.Errorf("a setting of the kubelet's alone: the processes were %v and are %v", before, after)
	}

	wantOf(t, node, "e2e-bad", func(spec *fleetv1.NodeAgentSpec) {
		spec.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{corev1.ResourceCPU: resource.MustParse("1000")}
	})
	awaitPhase(t, node, fleetv1.PhaseRolledBack, "e2e-good")
	agent := world.agent(t, node)
	failed := agent.Status.FailedRevision
	if failed == nil || failed.Revision != "e2e-bad" || failed.Component != fleetv1.ComponentKubelet || failed.Exit == nil ||
		!strings.Contains(failed.Exit.LogTail, "Node Allocatable") {
		t.Errorf("what failed is %+v, want the kubelet's own words", failed)
	}
	if agent.Status.ObservedGeneration != agent.Generation {
		t.Errorf("the status is about generation %d, want %d", agent.Status.ObservedGeneration, agent.Generation)
	}
	eventually(t, podsDeadline, "the node is healthy again, and says what failed", func(ctx context.Context) error {
		n, err := world.node(ctx, node)
		if err != nil || !nodeReady(n) {
			return fmt.Errorf("the Node is not ready: %w", err)
		}
		now := world.agent(t, node).Status.Conditions
		return unless(isTrue(now, fleetv1.ReadyCondition) && strings.Contains(describe(now), "kubelet ended"), "its conditions are %s", describe(now))
	})
	if now := pids(t, node); now[fleetv1.ComponentContainerd] != before[fleetv1.ComponentContainerd] {
		t.Error("containerd was restarted for a setting of the kubelet's")
	}

	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	if got := pod.Status.ContainerStatuses[0]; got.ContainerID != container || got.RestartCount != 0 {
		t.Errorf("the pod's container did not survive: %+v", got)
	}
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

// wantOf has a node run a revision that differs from what it is to run now.
func wantOf(t *testing.T, node, revision string, change func(*fleetv1.NodeAgentSpec)) {
	t.Helper()
	agent := world.agent(t, node)
	changed := agent.DeepCopy()
	changed.Spec.Revision = revision
	change(&changed.Spec)
	if err := world.Patch(t.Context(), changed, client.MergeFrom(agent)); err != nil {
		t.Fatal(err)
	}
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
