package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestEveryAgentSaysAllIsWell(t *testing.T) {
	want := []string{
		fleetv1.ClockSynchronizedCondition, fleetv1.DiskHealthyCondition, fleetv1.KubeletHealthyCondition, fleetv1.NetworkHealthyCondition,
		fleetv1.ProxyHealthyCondition, fleetv1.ReadyCondition, fleetv1.RuntimeHealthyCondition,
	}
	eventually(t, podsDeadline, "every NodeAgent has these conditions, and each is True", func(ctx context.Context) error {
		var agents fleetv1.NodeAgentList
		if err := world.List(ctx, &agents); err != nil {
			return err
		}
		if len(agents.Items) == 0 {
			return fmt.Errorf("there is no NodeAgent")
		}
		for _, agent := range agents.Items {
			var has []string
			good := true
			for _, c := range agent.Status.Conditions {
				has = append(has, c.Type)
				good = good && c.Status == metav1.ConditionTrue
			}
			slices.Sort(has)
			if diff := cmp.Diff(want, has); diff != "" || !good {
				return fmt.Errorf("%s: conditions (-want +got): %s; %s", agent.Name, diff, describe(agent.Status.Conditions))
			}
		}
		return nil
	})
}

func TestAgentReportsItsComponents(t *testing.T) {
	for _, agent := range agentsOf(t, "workers") {
		node := must[*corev1.Node](t)(world.node(t.Context(), agent.Name))
		runtime := strings.TrimPrefix(node.Status.NodeInfo.ContainerRuntimeVersion, "containerd://")
		want := map[string]string{
			fleetv1.ComponentContainerd: "v" + strings.TrimPrefix(runtime, "v"), fleetv1.ComponentKubelet: node.Status.NodeInfo.KubeletVersion,
			fleetv1.ComponentKubeProxy: agent.Spec.Version, fleetv1.ComponentNetwork: "",
		}
		versions := map[string]string{}
		for _, component := range agent.Status.Components {
			versions[component.Name] = component.Version
			if component.State != fleetv1.ComponentRunning {
				t.Errorf("%s: component %s is %s", agent.Name, component.Name, component.State)
			}
			if component.Name != fleetv1.ComponentNetwork {
				checkProcess(t, &agent, &component)
			}
		}
		if diff := cmp.Diff(want, versions); diff != "" {
			t.Errorf("%s: components and their versions (-want +got):\n%s", agent.Name, diff)
		}
		if agent.Status.AgentVersion == "" {
			t.Errorf("%s: the agent's version is missing", agent.Name)
		}
	}
}

// checkProcess compares what an agent says of a component's process with the process.
func checkProcess(t *testing.T, agent *fleetv1.NodeAgent, component *fleetv1.ComponentStatus) {
	t.Helper()
	if component.PID == nil || component.Restarts == nil || (*component.Restarts == 0) != (component.LastExit == nil) {
		t.Fatalf("%s: component %+v lacks something", agent.Name, component)
	}
	arguments := must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", world.hostPID(t, agent.Name, *component.PID))))
	program, _, _ := strings.Cut(string(arguments), "\x00")
	if filepath.Base(program) != component.Name {
		t.Errorf("%s: process %d is %s, not %s", agent.Name, *component.PID, program, component.Name)
	}
	if started := component.StartedAt.Time; started.Before(agent.CreationTimestamp.Time) || started.After(time.Now()) {
		t.Errorf("%s: %s was started at %s", agent.Name, component.Name, started)
	}
}

// toldItsSteps wants of an agent that joined for the first time how long each step took, none done before what it needs.
func toldItsSteps(agent *fleetv1.NodeAgent) error {
	want := []string{
		"BundleReady", "ContainerdReady", "Identity", "ImagesImported", "KubeletReady", "KubeletStarted", "NetworkReady", "NodeReady", "NodeRegistered", "Preflight",
	}
	var steps []string
	var wrong error
	last := int64(0)
	for _, step := range agent.Status.BootTimeline {
		now := ptr.Deref(step.Milliseconds, -1)
		plausible := last <= now && now <= time.Since(agent.CreationTimestamp.Time).Milliseconds()
		wrong = errors.Join(wrong, unless(plausible, "%s was done after %d ms, the step before after %d", step.Step, now, last))
		last = now
		steps = append(steps, step.Step)
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(steps))); diff != "" {
		wrong = errors.Join(wrong, fmt.Errorf("the steps (-want +got):\n%s", diff))
	}
	for _, chain := range [][]string{{"Preflight", "BundleReady", "ContainerdReady", "KubeletStarted", "NodeRegistered", "NodeReady"}, {"Identity", "KubeletStarted", "KubeletReady"}} {
		got := slices.DeleteFunc(slices.Clone(steps), func(step string) bool { return !slices.Contains(chain, step) })
		if diff := cmp.Diff(chain, got); diff != "" {
			wrong = errors.Join(wrong, fmt.Errorf("the steps that need each other (-want +got):\n%s", diff))
		}
	}
	return wrong
}

// What keeps a node from starting is in its agent's report and in its pool's events: nobody has to look on the machine.
func testANodeThatCannotStartSaysWhy(t *testing.T) {
	t.Run("the kubelet ends", func(t *testing.T) {
		pool := world.newPool(t, "e2e-kubelet-ends", 1, func(pool *fleetv1.NodePool) {
			pool.Spec.Template.Spec.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{corev1.ResourceMemory: resource.MustParse("32Ti")}
		})
		eventually(t, podsDeadline, "the agent reports how the kubelet ended", func(ctx context.Context) error {
			machines, err := world.machines(ctx, pool.Name)
			if err != nil || len(machines) != 1 {
				return errors.Join(err, fmt.Errorf("%d machines", len(machines)))
			}
			kubelet, err := world.component(ctx, machines[0].Name, fleetv1.ComponentKubelet)
			if err != nil {
				return err
			}
			exit := ptr.Deref(kubelet.LastExit, fleetv1.ComponentExit{})
			return unless(ptr.Deref(exit.Code, 0) != 0 && exit.Signal == "" && strings.Contains(exit.LogTail, "Node Allocatable"), "it is %+v, its end %+v", kubelet, exit)
		})
		eventually(t, podsDeadline, "the pool's events do too", func(ctx context.Context) error {
			return hasEvent(ctx, pool, fleetv1.ReasonJoinFailed, "kubelet keeps ending, with code 1")
		})
	})
	t.Run("the preflight fails", func(t *testing.T) {
		pool := world.newPool(t, "e2e-preflight", 1, func(pool *fleetv1.NodePool) {
			pool.Spec.Template.Spec.Runtime.RegistryMirrors = []fleetv1.RegistryMirror{
				{Registry: "docker.io", Endpoints: []string{"https://mirror.example"}, CABundle: "none"},
			}
		})
		eventually(t, podsDeadline, "the agent reports the mirror", func(ctx context.Context) error {
			return reports(ctx, pool.Name, fleetv1.ReasonPreflightFailed, "registry mirror of docker.io: caBundle")
		})
		eventually(t, podsDeadline, "the pool's events do too", func(ctx context.Context) error {
			return hasEvent(ctx, pool, fleetv1.ReasonJoinFailed, "registry mirror of docker.io: caBundle")
		})
	})
}
