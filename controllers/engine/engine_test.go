package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/test/apicount"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

// ownWrites bounds what Cluster API writes for one Machine from its creation until it is Ready, over a restart.
const ownWrites = 7

func TestMachinesComeAndGo(t *testing.T) {
	const machines = 50
	server := apiserver.Shared(t)
	server.StartControllerManager(t, "garbage-collector-controller", "disruption-controller")
	namespace := server.Namespace(t)
	startProvider(t, server)

	var counter apicount.Counter
	counted := rest.CopyConfig(server.Config)
	counter.Wrap(counted)
	stop := startEngine(t, server, counted)

	pool := newPool(t, server.Client, namespace)
	cluster := getCluster(t, server.Client, namespace)
	counter.Reset()
	name := func(i int) string { return fmt.Sprintf("%s-%03d", namespace, i) }
	for i := range machines / 2 {
		createMachine(t, server.Client, cluster, pool, name(i))
	}
	stop() // in the middle of the first half
	for i := machines / 2; i < machines; i++ {
		createMachine(t, server.Client, cluster, pool, name(i))
	}
	startEngine(t, server, counted)
	eventually(t, "all Machines Ready", func(ctx context.Context) string { return allReady(ctx, server.Client, namespace, machines) })

	var table strings.Builder
	counts := counter.Counts()
	if err := apicount.Print(&table, counts, machines); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if got := apicount.Writes(counts); got > ownWrites*machines {
		t.Errorf("Cluster API wrote %d times for %d Machines, want at most %d for each:\n%s", got, machines, ownWrites, table.String())
	}
	secrets := &corev1.SecretList{}
	if err := server.Client.List(t.Context(), secrets, client.InNamespace(namespace)); err != nil || len(secrets.Items) > 0 {
		t.Errorf("found %d Secrets (%v), want none: nothing may need a kubeconfig", len(secrets.Items), err)
	}

	blocked := name(7)
	budget := guardedPod(t, server.Client, namespace, blocked)
	deleteInForeground(t, server.Client, namespace)
	eventually(t, "every Machine but the one whose pod must stay to go", func(ctx context.Context) string {
		return onlyDraining(ctx, server.Client, namespace, blocked)
	})
	if err := server.Client.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	for i := range machines {
		for _, object := range []client.Object{
			&clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name(i)}},
			simulated.NewMachine(namespace, name(i)),
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name(i)}},
		} {
			eventually(t, "what made up a Machine to go", func(ctx context.Context) string { return isGone(ctx, server.Client, object) })
		}
	}
	if err := server.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the adoption to end", func(ctx context.Context) string { return nothingAdopted(ctx, server.Client, namespace) })
}

func allReady(ctx context.Context, c client.Client, namespace string, want int) string {
	list := &clusterv1.MachineList{}
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return err.Error()
	}
	ready, example := 0, ""
	for i := range list.Items {
		if m := &list.Items[i]; conditions.IsTrue(m, clusterv1.MachineReadyCondition) && m.Status.NodeRef.Name == m.Name {
			ready++
		} else {
			example = fmt.Sprintf("; %s: %+v", m.Name, m.Status.Conditions)
		}
	}
	if ready == want {
		return ""
	}
	return fmt.Sprintf("%d of %d Ready%s", ready, want, example)
}

// guardedPod runs a pod on the node whose budget lets nobody evict it.
func guardedPod(t *testing.T, c client.Client, namespace, node string) *policyv1.PodDisruptionBudget {
	t.Helper()
	labels := map[string]string{"app": "guarded"}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "guard"}}
	budget.Spec.MinAvailable = ptr.To(intstr.FromInt32(1))
	budget.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "guarded", Labels: labels}}
	pod.Spec.NodeName = node
	pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](0)
	pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	for _, object := range []client.Object{budget, pod} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the budget to be observed", func(ctx context.Context) string {
		if err := c.Get(ctx, client.ObjectKeyFromObject(budget), budget); err != nil {
			return err.Error()
		}
		if budget.Status.ObservedGeneration == 0 || budget.Status.CurrentHealthy != 1 {
			return fmt.Sprintf("%+v", budget.Status)
		}
		return ""
	})
	return budget
}

func deleteInForeground(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	if err := c.DeleteAllOf(t.Context(), &clusterv1.Machine{}, client.InNamespace(namespace),
		client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
}

func onlyDraining(ctx context.Context, c client.Client, namespace, name string) string {
	list := &clusterv1.MachineList{}
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return err.Error()
	}
	if len(list.Items) != 1 || list.Items[0].Name != name {
		return fmt.Sprintf("%d Machines are left", len(list.Items))
	}
	deleting := conditions.Get(&list.Items[0], clusterv1.MachineDeletingCondition)
	if deleting == nil || deleting.Reason != clusterv1.MachineDeletingDrainingNodeReason || !strings.Contains(deleting.Message, "guard") {
		return fmt.Sprintf("%s is not waiting for the budget: %+v", name, deleting)
	}
	return ""
}

func nothingAdopted(ctx context.Context, c client.Client, namespace string) string {
	for _, object := range adoptedObjects(namespace) {
		if left := isGone(ctx, c, object); left != "" {
			return left
		}
	}
	return ""
}
