package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// A namespace takes all its objects along at once, and its machines are drained all the same. Its pool has the name of
// the demo's, which is no trouble.
func testDeletingANamespaceDrainsItsMachines(t *testing.T) {
	namespace := "e2e-namespace"
	pool := world.newPoolIn(t, namespace, "workers", 1)
	machine := world.onlyMachine(t, pool)
	footprint := world.footprint(t, machine)
	labels := map[string]string{"e2e": namespace}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: namespace},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}
	if err := world.Create(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Delete(context.WithoutCancel(t.Context()), budget) })
	pod := world.startPod(t, busybox(namespace, idle, onNode(machine.Name), func(pod *corev1.Pod) { pod.Labels = labels }), corev1.PodRunning)
	eventually(t, podsDeadline, "the budget counts the pod", func(ctx context.Context) error {
		err := world.Get(ctx, client.ObjectKeyFromObject(budget), budget)
		return errors.Join(err, unless(budget.Status.CurrentHealthy == 1, "its status is %+v", budget.Status))
	})

	if err := world.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, podsDeadline, "the pool says that its drain is blocked", func(ctx context.Context) error {
		err := world.Get(ctx, client.ObjectKeyFromObject(pool), pool)
		return errors.Join(err, unless(isTrue(pool.Status.Conditions, fleetv1.DrainBlockedCondition), "conditions are %s", describe(pool.Status.Conditions)))
	})
	local := &fleetv1.LocalMachine{}
	eventually(t, podsDeadline, "the LocalMachine is deleted beside its Machine", func(ctx context.Context) error {
		err := world.Get(ctx, client.ObjectKeyFromObject(machine), local)
		return errors.Join(err, unless(!local.DeletionTimestamp.IsZero(), "nobody deleted it"))
	})
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || !podReady(pod) {
		t.Errorf("the protected pod does not run: %v, %s", err, pod.Status.Phase)
	}
	if err := world.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	world.awaitNoMachine(t, footprint)
	eventually(t, nodesDeadline, "namespace "+namespace+" is gone", func(ctx context.Context) error {
		err := world.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})
		return unless(apierrors.IsNotFound(err), "%w", orStill(err))
	})
}

// newPoolIn makes a namespace with a pool like the demo's in it, and waits until its nodes are ready.
func (w *World) newPoolIn(t *testing.T, namespace, name string, replicas int32) *fleetv1.NodePool {
	t.Helper()
	demo, template := &fleetv1.NodePool{}, &fleetv1.LocalMachineTemplate{}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "workers"}, demo); err != nil {
		t.Fatal(err)
	}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: demo.Spec.Template.Spec.InfrastructureRef.Name}, template); err != nil {
		t.Fatal(err)
	}
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	pool := &fleetv1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: *demo.Spec.DeepCopy()}
	pool.Spec.Replicas = ptr.To(replicas)
	pool.Spec.Template.Spec.Taints = []fleetv1.Taint{{Key: "e2e", Value: fleetv1.LabelValue(name), Effect: corev1.TaintEffectNoSchedule}}
	for _, object := range []client.Object{
		home, &fleetv1.LocalMachineTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: template.Name}, Spec: template.Spec}, pool,
	} {
		if err := w.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = w.Delete(context.WithoutCancel(t.Context()), home) })
	eventually(t, nodesDeadline, "pool "+namespace+"/"+name+" is ready", func(ctx context.Context) error {
		err := w.Get(ctx, client.ObjectKeyFromObject(pool), pool)
		return errors.Join(err, unless(isTrue(pool.Status.Conditions, fleetv1.ReadyCondition), "conditions are %s", describe(pool.Status.Conditions)))
	})
	return pool
}

// onlyMachine is the one Machine of a pool.
func (w *World) onlyMachine(t *testing.T, pool *fleetv1.NodePool) *clusterv1.Machine {
	t.Helper()
	var all clusterv1.MachineList
	err := w.List(t.Context(), &all, client.InNamespace(pool.Namespace), client.MatchingLabels{fleetv1.PoolUIDLabel: string(pool.UID)})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("machines are %v: %v", names(&all), err)
	}
	return &all.Items[0]
}

// unless is an error as long as something does not hold.
func unless(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func TestAPoolDeletedWhileTheManagerIsDownGoesWhenItIsBack(t *testing.T) {
	pool := world.newPool(t, "e2e-deleted-down", 1)
	world.awaitPool(t, pool.Name, 1)
	footprint := world.footprint(t, world.onlyMachine(t, pool))
	kill(t, world.managerPID(t))
	if err := world.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	world.startManager(t)
	world.deletePool(t, pool)
	world.awaitNoMachine(t, footprint)
}

func TestAManagerKilledInTheMiddleOfADeletionFinishesIt(t *testing.T) {
	pool := world.newPool(t, "e2e-killed-deleting", 2)
	world.awaitPool(t, pool.Name, 2)
	machines, err := world.machines(t.Context(), pool.Name)
	if err != nil {
		t.Fatal(err)
	}
	var footprints []*footprint
	for _, machine := range machines {
		footprints = append(footprints, world.footprint(t, &machine))
	}
	if err := world.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []struct {
		what    string
		reached func(clusterv1.Machine) bool
	}{
		{"a Machine is being deleted", func(m clusterv1.Machine) bool { return !m.DeletionTimestamp.IsZero() }},
		{"a machine is gone, or drained", func(m clusterv1.Machine) bool { return fleetv1.Drained(&m) }},
	} {
		eventually(t, nodesDeadline, stage.what, func(ctx context.Context) error {
			now, err := world.machines(ctx, pool.Name)
			if err != nil || len(now) < 2 {
				return err
			}
			return unless(stage.reached(now[0]) || stage.reached(now[1]), "conditions are %s", describe(now[0].Status.Conditions))
		})
		kill(t, world.managerPID(t))
		world.startManager(t)
	}
	world.deletePool(t, pool)
	for _, f := range footprints {
		world.awaitNoMachine(t, f)
	}
}

// Somebody took the finalizer off, or restored a backup: nothing in the API stands for the machine any more.
func TestAMachineWhoseLocalMachineVanishedIsRemovedFromTheHost(t *testing.T) {
	pool := world.newPool(t, "e2e-orphan", 1)
	world.awaitPool(t, pool.Name, 1)
	machine := world.onlyMachine(t, pool)
	footprint := world.footprint(t, machine)
	kill(t, world.managerPID(t))
	local := &fleetv1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: machine.Namespace, Name: machine.Name}}
	strip := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := errors.Join(world.Patch(t.Context(), local, strip), world.Delete(t.Context(), local), world.Delete(t.Context(), pool)); err != nil {
		t.Fatal(err)
	}
	world.startManager(t)
	world.deletePool(t, pool)
	world.awaitNoMachine(t, footprint)
}

// startManager starts what was killed.
func (w *World) startManager(t *testing.T) {
	t.Helper()
	if err := dev(w.Root, podsDeadline, "up"); err != nil {
		t.Fatalf("start the manager again: %v", err)
	}
}
