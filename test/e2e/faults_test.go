package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	nodepaths "github.com/drover-dev/drover/api/node"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestAKilledComponentIsReportedAndRunsAgainUnderRunningPods(t *testing.T) {
	node := world.aNode(t)
	pod := world.startPod(t, busybox("e2e-survivor", idle, onNode(node)), corev1.PodRunning)
	container := pod.Status.ContainerStatuses[0].ContainerID
	for _, name := range []string{fleetv1.ComponentContainerd, fleetv1.ComponentKubelet, fleetv1.ComponentKubeProxy} {
		before, err := world.component(t.Context(), node, name)
		if err != nil || before.PID == nil {
			t.Fatalf("%s before it is killed: %+v, %v", name, before, err)
		}
		killed := time.Now().Truncate(time.Second) // as precise as the API is
		kill(t, world.hostPID(t, node, *before.PID))
		var after *fleetv1.ComponentStatus
		eventually(t, podsDeadline, name+" runs again and its end is reported", func(ctx context.Context) error {
			if after, err = world.component(ctx, node, name); err != nil {
				return err
			}
			if after.State != fleetv1.ComponentRunning || after.PID == nil || *after.PID == *before.PID || after.LastExit == nil || after.LastExit.Signal != "SIGKILL" {
				return fmt.Errorf("it is %+v", after)
			}
			return nil
		})
		exit := after.LastExit
		restarted := ptr.Deref(after.Restarts, 0) == ptr.Deref(before.Restarts, 0)+1 && !after.StartedAt.Before(&exit.Time) && !after.StartedAt.After(time.Now())
		if !restarted || exit.Code != nil || exit.Time.Time.Before(killed) {
			t.Errorf("%s was killed at %s: it was %+v, is %+v, its end %+v", name, killed, before, after, exit)
		}
		log := must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/root%s/%s.log", world.initOf(t, node), nodepaths.LogDir, name)))
		tail := strings.Split(strings.TrimSpace(exit.LogTail), "\n")
		if last := tail[len(tail)-1]; last == "" || !strings.Contains(string(log), last) {
			t.Errorf("the end of %s's log, %q, is not in its log", name, exit.LogTail)
		}
	}
	world.awaitPool(t, "workers", 2)
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	if got := pod.Status.ContainerStatuses[0]; got.ContainerID != container || got.RestartCount != 0 {
		t.Errorf("the pod's container did not survive: %+v", got)
	}
}

func TestARestartedAgentAdoptsWhatRuns(t *testing.T) {
	node := world.aNode(t)
	names := []string{fleetv1.ComponentContainerd, fleetv1.ComponentKubelet, fleetv1.ComponentKubeProxy}
	before, timeline := map[string]int32{}, bootTimeline(t, node)
	for _, name := range names {
		component, err := world.component(t.Context(), node, name)
		if err != nil || component.PID == nil {
			t.Fatalf("%s: %+v, %v", name, component, err)
		}
		before[name] = *component.PID
	}
	world.renewAgent(t, node)
	eventually(t, podsDeadline, "the new agent reports the old processes", func(ctx context.Context) error {
		for _, name := range names {
			component, err := world.component(ctx, node, name)
			if err != nil {
				return err
			}
			if component.State != fleetv1.ComponentRunning || component.PID == nil || *component.PID != before[name] {
				return fmt.Errorf("%s was process %d, is %+v", name, before[name], component)
			}
		}
		if cmp.Equal(timeline, bootTimeline(t, node)) {
			return fmt.Errorf("the new agent has not reported yet")
		}
		return nil
	})
}

// bootTimeline is what tells one life of an agent from the next.
func bootTimeline(t *testing.T, node string) []fleetv1.BootStep {
	t.Helper()
	var agent fleetv1.NodeAgent
	if err := world.Get(t.Context(), client.ObjectKey{Name: node}, &agent); err != nil {
		t.Fatal(err)
	}
	return agent.Status.BootTimeline
}

func testANodeDeletedByHandComesBack(t *testing.T) {
	world.newPool(t, "e2e-node-deleted", 1)
	world.awaitPool(t, "e2e-node-deleted", 1)
	nodes, err := world.nodes(t.Context(), "e2e-node-deleted")
	if err != nil || len(nodes) != 1 {
		t.Fatalf("%d nodes: %v", len(nodes), err)
	}
	if err := world.Delete(t.Context(), &nodes[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, nodesDeadline, "the pool has a ready node that is not the deleted one", func(ctx context.Context) error {
		now, err := world.nodes(ctx, "e2e-node-deleted")
		if err != nil {
			return err
		}
		if len(now) != 1 || now[0].UID == nodes[0].UID {
			return fmt.Errorf("%d ready nodes", len(now))
		}
		return nil
	})
	world.awaitPool(t, "e2e-node-deleted", 1)
}

func testAMachineDeletedByHandIsReplaced(t *testing.T) {
	world.newPool(t, "e2e-machine-deleted", 1)
	world.awaitPool(t, "e2e-machine-deleted", 1)
	machines, err := world.machines(t.Context(), "e2e-machine-deleted")
	if err != nil || len(machines) != 1 {
		t.Fatalf("%d machines: %v", len(machines), err)
	}
	if err := world.Delete(t.Context(), &machines[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, nodesDeadline, "another machine took its place", func(ctx context.Context) error {
		now, err := world.machines(ctx, "e2e-machine-deleted")
		if err != nil {
			return err
		}
		if len(now) != 1 || now[0].Name == machines[0].Name {
			return fmt.Errorf("machines are %d, the first is %v", len(now), names(&clusterv1.MachineList{Items: now}))
		}
		return nil
	})
	world.awaitPool(t, "e2e-machine-deleted", 1)
}

func testAMachineWhoseInitDiesBootsAgain(t *testing.T) {
	world.newPool(t, "e2e-init-killed", 1)
	world.awaitPool(t, "e2e-init-killed", 1)
	machines, err := world.machines(t.Context(), "e2e-init-killed")
	if err != nil || len(machines) != 1 {
		t.Fatalf("%d machines: %v", len(machines), err)
	}
	machine := machines[0].Name
	init := world.initOf(t, machine)
	kill(t, init)
	eventually(t, nodesDeadline, "it boots again", func(ctx context.Context) error {
		var local fleetv1.LocalMachine
		if err := world.Get(ctx, client.ObjectKey{Namespace: "default", Name: machine}, &local); err != nil {
			return err
		}
		if local.Status.PID == nil || int(*local.Status.PID) == init {
			return fmt.Errorf("its status is %+v", local.Status)
		}
		return nil
	})
	eventually(t, nodesDeadline, "the rebooted machine's agent is well", func(ctx context.Context) error {
		var agent fleetv1.NodeAgent
		if err := world.Get(ctx, client.ObjectKey{Name: machine}, &agent); err != nil {
			return err
		}
		if !isTrue(agent.Status.Conditions, fleetv1.ReadyCondition) {
			return fmt.Errorf("conditions are %s", describe(agent.Status.Conditions))
		}
		return nil
	})
	world.awaitPool(t, "e2e-init-killed", 1)
}

// Killed in the middle of making and of deleting machines, a manager that starts again must end where it would have.
func TestAKilledManagerConvergesWithNoMachineDoubledOrLost(t *testing.T) {
	pool := world.newPool(t, "e2e-manager-killed", 3)
	killWhen := func(what string, begun func([]clusterv1.Machine) bool) {
		t.Helper()
		eventually(t, nodesDeadline, what, func(ctx context.Context) error {
			machines, err := world.machines(ctx, pool.Name)
			return errors.Join(err, unless(begun(machines), "there are %v", uids(machines)))
		})
		kill(t, world.managerPID(t))
	}

	killWhen("a Machine is made", func(machines []clusterv1.Machine) bool { return len(machines) > 0 })
	begun := uids(must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)))
	world.startManager(t)
	world.awaitPool(t, pool.Name, 3)
	three := must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name))
	made := uids(three)
	if diff := cmp.Diff([]string{"0", "1", "2"}, slices.Sorted(maps.Keys(made))); diff != "" {
		t.Errorf("the machines' ordinals (-want +got):\n%s", diff)
	}
	for ordinal, uid := range begun {
		if made[ordinal] != uid {
			t.Errorf("machine %s was made anew: %s became %s", ordinal, uid, made[ordinal])
		}
	}

	world.scale(t, pool.Name, 1)
	killWhen("a Machine is being deleted", func(machines []clusterv1.Machine) bool {
		return len(machines) < 3 || slices.ContainsFunc(machines, func(m clusterv1.Machine) bool { return !m.DeletionTimestamp.IsZero() })
	})
	world.startManager(t)
	world.awaitPool(t, pool.Name, 1)
	left := uids(must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)))
	if diff := cmp.Diff(uids([]clusterv1.Machine{oldest(three)}), left); diff != "" {
		t.Errorf("the machine that stays is not the oldest (-want +got):\n%s", diff)
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil || ptr.Deref(pool.Status.NextOrdinal, 0) != 3 {
		t.Errorf("the next ordinal is %d, as if a machine more had been made: %v", ptr.Deref(pool.Status.NextOrdinal, 0), err)
	}
}

// oldest is the machine that was made first, of those of a second the one of the least ordinal. A manager makes several at once, so
// that the one that it was killed after may have any ordinal.
func oldest(machines []clusterv1.Machine) clusterv1.Machine {
	return slices.MinFunc(machines, func(a, b clusterv1.Machine) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// uids are machines' UIDs by their ordinals.
func uids(machines []clusterv1.Machine) map[string]types.UID {
	all := map[string]types.UID{}
	for _, m := range machines {
		all[m.Labels[fleetv1.OrdinalLabel]] = m.UID
	}
	return all
}
