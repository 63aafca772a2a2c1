package engine

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/recorded"
)

// recordedMachine is a Machine that the files of config/argocd have.
type recordedMachine struct {
	t      *testing.T
	server *apiserver.Server
	key    client.ObjectKey
}

// becomes waits until the Machine is in a state, and compares it with what the files have for that.
func (m *recordedMachine) becomes(state string, is func(*clusterv1.Machine) bool) {
	m.t.Helper()
	machine := &clusterv1.Machine{}
	eventually(m.t, "the Machine to be "+state, func(ctx context.Context) string {
		if err := m.server.Client.Get(ctx, m.key, machine); err != nil {
			return err.Error()
		}
		if !is(machine) || machine.Status.ObservedGeneration != machine.Generation {
			return fmt.Sprintf("%s: %+v", machine.Status.Phase, machine.Status.Conditions)
		}
		return ""
	})
	recorded.Is(m.t, m.server.Client, clusterv1.GroupVersion.WithKind("Machine"), m.key, state, m.key.Namespace, "default")
}

func (m *recordedMachine) patch(object client.Object, text string) {
	m.t.Helper()
	if err := m.server.Client.Patch(m.t.Context(), object, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		m.t.Fatal(err)
	}
}

// TestTheMachinesThatArgoCDIsToReadAreAsRecorded, in the words of the Cluster API that the manager runs.
func TestTheMachinesThatArgoCDIsToReadAreAsRecorded(t *testing.T) {
	server := apiserver.Shared(t)
	server.StartControllerManager(t, "garbage-collector-controller", "disruption-controller")
	namespace := server.Namespace(t)
	startEngine(t, server, server.Config)
	pool := newPool(t, server.Client, namespace)
	m := &recordedMachine{t: t, server: server, key: client.ObjectKey{Namespace: namespace, Name: "workers-0a1b2-0"}}
	createMachine(t, server.Client, getCluster(t, server.Client, namespace), pool, m.key.Name)

	m.becomes("pending", func(m *clusterv1.Machine) bool {
		return conditions.Has(m, clusterv1.MachineReadyCondition)
	})
	startProvider(t, server)
	available := func(m *clusterv1.Machine) bool {
		return m.Spec.ProviderID != "" && m.Status.Phase == string(clusterv1.MachinePhaseRunning) && conditions.IsTrue(m, clusterv1.MachineAvailableCondition)
	}
	m.becomes("running", available)

	node := nodeNamed(m.key.Name)
	m.setNodeReady(node, corev1.ConditionFalse)
	m.becomes("not-ready", func(m *clusterv1.Machine) bool { return conditions.IsFalse(m, clusterv1.MachineReadyCondition) })
	m.setNodeReady(node, corev1.ConditionTrue)
	eventually(t, "it to be ready again", func(ctx context.Context) string { return allReady(ctx, server.Client, namespace, 1) })
	machine := &clusterv1.Machine{}
	machine.Namespace, machine.Name = m.key.Namespace, m.key.Name
	m.patch(machine, `{"metadata":{"annotations":{"cluster.x-k8s.io/paused":""}}}`)
	m.becomes("paused", func(m *clusterv1.Machine) bool { return conditions.IsTrue(m, clusterv1.PausedCondition) })
	m.patch(machine, `{"metadata":{"annotations":{"cluster.x-k8s.io/paused":null}}}`)
	eventually(t, "it to be let go on", func(ctx context.Context) string { return allReady(ctx, server.Client, namespace, 1) })

	budget := guardedPod(t, server.Client, namespace, m.key.Name)
	deleteInForeground(t, server.Client, namespace)
	m.becomes("draining", func(m *clusterv1.Machine) bool {
		return conditions.GetReason(m, clusterv1.MachineDeletingCondition) == clusterv1.MachineDeletingDrainingNodeReason
	})
	if err := server.Client.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to go", func(ctx context.Context) string { return isGone(ctx, server.Client, machine) })
}

// setNodeReady has the node say whether it is ready.
func (m *recordedMachine) setNodeReady(node *corev1.Node, status corev1.ConditionStatus) {
	m.t.Helper()
	text := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q,"reason":"KubeletNotReady","message":"container runtime is down"}]}}`, status)
	err := m.server.Client.Status().Patch(m.t.Context(), node, client.RawPatch(types.StrategicMergePatchType, []byte(text)))
	if err != nil {
		m.t.Fatal(err)
	}
}
