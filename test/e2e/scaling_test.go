package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// scale changes a pool's replicas as a user does, which goes through the scale subresource.
func (w *World) scale(t *testing.T, name string, replicas int) {
	t.Helper()
	w.kubectl(t, "scale", "dnp", name, fmt.Sprintf("--replicas=%d", replicas))
}

func TestScalingUpAndDownKeepsTheServiceAnswering(t *testing.T) {
	complaints := keepCalling(t, nodePort(t, "e2e-scaling", "hello"))
	for _, replicas := range []int{4, 1} {
		world.scale(t, "workers", replicas)
		world.awaitPool(t, "workers", replicas)
		world.awaitHello(t, 4)
	}
	for _, complaint := range complaints() {
		t.Errorf("while the pool was scaled: %v", complaint)
	}
	world.scale(t, "workers", 2)
	world.awaitPool(t, "workers", 2)
	world.spreadHello(t)
}

// keepCalling calls the node that is there first and goes last, over and over, until the returned function is called,
// which returns the calls that failed twice in a row: a client may meet a pod that is just ending, not the next one too.
func keepCalling(t *testing.T, port int32) (complaints func() []error) {
	t.Helper()
	nodes, err := world.nodes(t.Context(), "workers")
	if err != nil || len(nodes) == 0 {
		t.Fatalf("the demo has no ready node: %v", err)
	}
	oldest := slices.MinFunc(nodes, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	url := fmt.Sprintf("http://%s:%d/", address(&oldest, corev1.NodeInternalIP), port)
	eventually(t, podsDeadline, url+" answers", func(ctx context.Context) error { return get(ctx, url) })
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	failed := make(chan []error, 1)
	go func() {
		var all []error
		for tick := time.Tick(100 * time.Millisecond); ctx.Err() == nil; <-tick {
			if get(ctx, url) == nil {
				continue
			}
			if err := get(ctx, url); err != nil && ctx.Err() == nil {
				all = append(all, err)
			}
		}
		failed <- all
	}()
	return func() []error {
		stop()
		return <-failed
	}
}

// awaitHello waits until so many of hello's pods are ready and no other is there.
func (w *World) awaitHello(t *testing.T, pods int) {
	t.Helper()
	eventually(t, podsDeadline, fmt.Sprintf("%d pods of hello are ready", pods), func(ctx context.Context) error {
		ready, err := w.pods(ctx, client.MatchingLabels{"app": "hello"})
		if err != nil {
			return err
		}
		if len(ready) != pods {
			return fmt.Errorf("%d are", len(ready))
		}
		return nil
	})
}

// spreadHello makes hello's pods anew, so that they use every node again.
func (w *World) spreadHello(t *testing.T) {
	t.Helper()
	if err := w.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace("default"), client.MatchingLabels{"app": "hello"}); err != nil {
		t.Fatal(err)
	}
	helloPerNode(t)
}

func testScalingDownLeavesNothingOfTheMachine(t *testing.T) {
	pool := world.newPool(t, "e2e-leaves-nothing", 1)
	world.awaitPool(t, pool.Name, 1)
	machine := world.onlyMachine(t, pool)
	world.startPod(t, busybox(pool.Name, idle, onNode(machine.Name)), corev1.PodRunning)
	footprint := world.footprint(t, machine)
	world.scale(t, pool.Name, 0)
	world.awaitPool(t, pool.Name, 0)
	world.awaitNoMachine(t, footprint)
	var tokens corev1.SecretList
	if err := world.List(t.Context(), &tokens, client.InNamespace("kube-system"), client.MatchingLabels{fleetv1.MachineUIDLabel: string(machine.UID)}); err != nil || len(tokens.Items) > 0 {
		t.Errorf("join tokens are left: %v, %v", names(&tokens), err)
	}
}

func orStill(err error) error {
	if err == nil {
		return fmt.Errorf("still there")
	}
	return err
}

// blocked is a pool of one machine with a pod on it that a PodDisruptionBudget protects. No two have a name in common.
type blocked struct {
	pool    *fleetv1.NodePool
	machine *clusterv1.Machine
	pod     *corev1.Pod
	budget  *policyv1.PodDisruptionBudget
}

func blockedPool(t *testing.T, name string) blocked {
	t.Helper()
	pool := world.newPool(t, name, 1)
	world.awaitPool(t, name, 1)
	machine := world.onlyMachine(t, pool)
	labels := map[string]string{"e2e": name}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "keep-one-of-" + name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}
	if err := world.Create(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Delete(context.WithoutCancel(t.Context()), budget); client.IgnoreNotFound(err) != nil {
			t.Errorf("delete the budget: %v", err)
		}
	})
	pod := world.startPod(t, busybox("only-one-of-"+name, idle, onNode(machine.Name), func(pod *corev1.Pod) { pod.Labels = labels }), corev1.PodRunning)
	eventually(t, podsDeadline, "the budget counts the pod", func(ctx context.Context) error {
		if err := world.Get(ctx, client.ObjectKeyFromObject(budget), budget); err != nil {
			return err
		}
		if budget.Status.CurrentHealthy != 1 {
			return fmt.Errorf("its status is %+v", budget.Status)
		}
		return nil
	})
	return blocked{pool, machine, pod, budget}
}

func testADrainWaitsForThePodDisruptionBudgetAndSaysSo(t *testing.T) {
	b := blockedPool(t, "e2e-pdb")
	footprint := world.footprint(t, b.machine)
	world.scale(t, b.pool.Name, 0)
	message := world.awaitCondition(t, b.pool.Name, fleetv1.DrainBlockedCondition, fleetv1.ReasonPodDisruptionBudget)
	for _, wanted := range []string{b.machine.Name + ": ", "pod default/" + b.pod.Name + " ", "PodDisruptionBudget default/" + b.budget.Name + " "} {
		if !strings.Contains(message, wanted) {
			t.Errorf("the message does not name %q: %s", wanted, message)
		}
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(b.pod), b.pod); err != nil || !podReady(b.pod) {
		t.Errorf("the protected pod does not run: %v, %s", err, b.pod.Status.Phase)
	}
	if err := world.Delete(t.Context(), b.budget); err != nil {
		t.Fatal(err)
	}
	world.awaitPool(t, b.pool.Name, 0)
	world.awaitNoMachine(t, footprint)
}

// Argo CD prunes in the foreground: the garbage collector must not take the machine before it is drained.
func testForegroundDeletionDrainsJustTheSame(t *testing.T) {
	b := blockedPool(t, "e2e-foreground")
	if err := world.Delete(t.Context(), b.pool, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	world.awaitCondition(t, b.pool.Name, fleetv1.DrainBlockedCondition, fleetv1.ReasonPodDisruptionBudget)
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(b.pod), b.pod); err != nil || !podReady(b.pod) {
		t.Errorf("the protected pod does not run: %v, %s", err, b.pod.Status.Phase)
	}
	if err := world.Delete(t.Context(), b.budget); err != nil {
		t.Fatal(err)
	}
	world.deletePool(t, b.pool)
}

// It boots again, for its pod is protected still, and goes for good when that is over.
func testAMachineWhoseInitDiesWhileItsDrainIsBlockedGoesAllTheSame(t *testing.T) {
	b := blockedPool(t, "e2e-init-killed-draining")
	world.scale(t, b.pool.Name, 0)
	world.awaitCondition(t, b.pool.Name, fleetv1.DrainBlockedCondition, fleetv1.ReasonPodDisruptionBudget)
	init := world.initOf(t, b.machine.Name)
	kill(t, init)
	eventually(t, nodesDeadline, "it boots again", func(ctx context.Context) error {
		var local fleetv1.LocalMachine
		err := world.Get(ctx, client.ObjectKeyFromObject(b.machine), &local)
		return errors.Join(err, unless(local.Status.PID != nil && int(*local.Status.PID) != init, "its status is %+v", local.Status))
	})
	footprint := world.footprint(t, b.machine)
	if err := world.Delete(t.Context(), b.budget); err != nil {
		t.Fatal(err)
	}
	world.awaitNoMachine(t, footprint)
	world.awaitPool(t, b.pool.Name, 0)
}
