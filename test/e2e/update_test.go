package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/agents"
)

// testAnAgentUpdatesItselfAndComesBackFromABadVersion asks a node for another version of its agent, and then for one that ends at
// once, under a running pod.
func testAnAgentUpdatesItselfAndComesBackFromABadVersion(t *testing.T) {
	pool := world.newPool(t, "e2e-update", 1)
	world.awaitPool(t, pool.Name, 1)
	node := world.onlyMachine(t, pool).Name
	pod := world.startPod(t, busybox("e2e-update", idle, onNode(node)), corev1.PodRunning)
	awaitPhase(t, node, fleetv1.PhaseCommitted, "")
	pause(t, pool) // what other tests change of the cluster restarts its kubelet
	revision := world.agent(t, node).Status.CurrentRevision
	processes, container := pids(t, node), firstProcess(t, pod)
	undisturbed := func() {
		t.Helper()
		if diff := cmp.Diff(processes, pids(t, node)); diff != "" {
			t.Errorf("the components' processes were others before (-want +got):\n%s", diff)
		}
		if now := firstProcess(t, pod); now != container {
			t.Errorf("the pod's process was %s and is %s", container, now)
		}
		status := world.agent(t, node).Status
		if status.CurrentRevision != revision || status.Phase != fleetv1.PhaseCommitted || status.FailedRevision != nil {
			t.Errorf("the node runs %s (%s), and %+v failed; another agent is no other revision", status.CurrentRevision, status.Phase, status.FailedRevision)
		}
	}

	good := agents.Serve(t, world.Root, "v9.9.1-e2e", agents.Build(t, world.Root, "v9.9.1-e2e"))
	wantAgent(t, node, good)
	awaitAgent(t, node, good, "")
	undisturbed()

	bad := agents.Serve(t, world.Root, "v9.9.2-e2e", []byte("#!/bin/sh\nexit 1\n"))
	wantAgent(t, node, bad)
	awaitAgent(t, node, good, bad.Version)
	status := world.agent(t, node).Status
	if f := status.Agent.Failed; f.Digest != agents.Digest(bad) || f.Reason != fleetv1.ReasonExited || !strings.Contains(f.Message, "it ended 3 times in a row") {
		t.Errorf("what failed is %+v", f)
	}
	eventually(t, podsDeadline, "the node is healthy, and says what failed", func(context.Context) error {
		now := world.agent(t, node).Status.Conditions
		return unless(isTrue(now, fleetv1.ReadyCondition) && strings.Contains(describeAll(now), "the agent v9.9.2-e2e was given up"), "its conditions are %s", describeAll(now))
	})
	undisturbed()

	kill(t, must[int](t)(world.agentPID(t, node)))
	better := agents.Serve(t, world.Root, "v9.9.3-e2e", agents.Build(t, world.Root, "v9.9.3-e2e"))
	wantAgent(t, node, better)
	awaitAgent(t, node, better, "")
	undisturbed()
}

// testAnAgentRollsThroughItsPoolAndBack has a pool's template name a version of the agent, which all nodes get, and then one that ends at
// once, which one node tries. A pod runs on through both.
func testAnAgentRollsThroughItsPoolAndBack(t *testing.T) {
	pool := world.newPool(t, "e2e-agents", 2, func(pool *fleetv1.NodePool) {
		pool.Spec.Rollout.OnFailure = fleetv1.RolloutOnFailureRollback
	})
	world.awaitPool(t, pool.Name, 2)
	awaitUpdated(t, pool, 2, 2)
	var nodes []string
	for _, m := range must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)) {
		nodes = append(nodes, m.Name)
	}
	pod := world.startPod(t, busybox("e2e-agents", idle, onNode(nodes[0])), corev1.PodRunning)
	container := firstProcess(t, pod)
	await := func(what string, check func() error) {
		t.Helper()
		eventually(t, 3*nodesDeadline, what, func(ctx context.Context) error {
			if err := world.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
				return err
			}
			if len(pool.Status.Updating) > 1 {
				t.Errorf("%v are changed at once", pool.Status.Updating)
			}
			return check()
		})
	}
	name := func(release *fleetv1.AgentRelease) {
		t.Helper()
		pool = world.edit(t, pool.Name, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Agent = release })
	}

	good := agents.Serve(t, world.Root, "v9.9.4-e2e", agents.Build(t, world.Root, "v9.9.4-e2e"))
	name(good)
	await("all nodes run the revision with its agent", func() error {
		return unless(pool.Status.ObservedGeneration == pool.Generation && ptr.Deref(pool.Status.UpdatedReplicas, 0) == 2, "its status is %+v", pool.Status)
	})
	for _, node := range nodes {
		awaitAgent(t, node, good, "")
	}
	revision := pool.Status.Revision

	bad := agents.Serve(t, world.Root, "v9.9.5-e2e", []byte("#!/bin/sh\nexit 1\n"))
	name(bad)
	await("the pool gave the agent up, and its nodes have the one before again", func() error {
		if err := poolIs(pool, fleetv1.StalledCondition, fleetv1.ReasonRolledBack); err != nil {
			return err
		}
		return unless(pool.Status.Rollout.Phase == fleetv1.RolloutPhaseRolledBack, "it is in %s", pool.Status.Rollout.Phase)
	})
	if said := describeAll(pool.Status.Conditions); !strings.Contains(said, "agent v9.9.5-e2e: Exited: it ended 3 times in a row") {
		t.Errorf("the pool says %s", said)
	}
	if failed := pool.Status.Rollout.Failed; failed.PreviousRevision != revision {
		t.Errorf("given up is %+v, want to be back at %s", failed, revision)
	}
	for _, node := range nodes {
		awaitAgent(t, node, good, "")
		awaitPhase(t, node, fleetv1.PhaseCommitted, revision)
	}
	if now := firstProcess(t, pod); now != container {
		t.Errorf("the pod's process was %s and is %s", container, now)
	}
}

// describeAll is what all conditions say.
func describeAll(conditions []metav1.Condition) string {
	var all strings.Builder
	for _, c := range conditions {
		all.WriteString(c.Type + "=" + string(c.Status) + ": " + c.Message + "; ")
	}
	return all.String()
}

// firstProcess tells the first process of a pod's container from any that might come after it.
func firstProcess(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	stat := must[string](t)(world.exec(t.Context(), pod, "cat", "/proc/1/stat"))
	_, after, _ := strings.Cut(stat, ") ")
	const startTime = 22 - 3 // proc_pid_stat(5), from the field after the name
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	return pod.Status.ContainerStatuses[0].ContainerID + " of " + strings.Fields(after)[startTime]
}

// wantAgent has a node run a version of the agent.
func wantAgent(t *testing.T, node string, release *fleetv1.AgentRelease) {
	t.Helper()
	agent := world.agent(t, node)
	changed := agent.DeepCopy()
	changed.Spec.Agent = release
	if err := world.Patch(t.Context(), changed, client.MergeFrom(agent)); err != nil {
		t.Fatal(err)
	}
}

// awaitAgent waits until a version of the agent runs, and one of another name, or none, was given up.
func awaitAgent(t *testing.T, node string, runs *fleetv1.AgentRelease, failed string) {
	t.Helper()
	eventually(t, nodesDeadline, runs.Version+" runs on "+node+", and failed has "+failed, func(context.Context) error {
		agent := world.agent(t, node)
		s := agent.Status
		gave := ""
		if s.Agent != nil && s.Agent.Failed != nil {
			gave = s.Agent.Failed.Version
		}
		done := s.AgentVersion == runs.Version && s.Agent != nil && s.Agent.Digest == agents.Digest(runs) && gave == failed && s.ObservedGeneration == agent.Generation
		return unless(done, "%s runs, from %+v, as of generation %d of %d: %s", s.AgentVersion, s.Agent, s.ObservedGeneration, agent.Generation, describeAll(s.Conditions))
	})
}
