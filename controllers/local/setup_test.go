package local

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/controllers/local/machine/fakehost"
	"github.com/drover-dev/drover/test/apiserver"
)

// TestControllerHearsOfEverything runs the controller against a real API server: what a machine waits for comes last,
// so each step happens only if its event is heard.
func TestControllerHearsOfEverything(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	host := fakehost.New()
	startController(t, server, host)
	ctx, c := context.Background(), server.Client
	create := func(o client.Object) {
		t.Helper()
		o.SetNamespace(namespace)
		if err := c.Create(ctx, o); err != nil {
			t.Fatal(err)
		}
	}

	yes, secretName := true, "m-bootstrap"
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "drover"},
		Spec: clusterv1.ClusterSpec{InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: "AdoptedCluster", Name: "drover"}}}
	create(cluster)
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Name: "m", Finalizers: []string{"drover.dev/test"}}, Spec: clusterv1.MachineSpec{ClusterName: "drover",
		Bootstrap:         clusterv1.Bootstrap{DataSecretName: &secretName},
		InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: "LocalMachine", Name: "m"}}}
	create(machine)
	create(&v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Name: "m", Labels: map[string]string{clusterv1.ClusterNameLabel: "drover"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: "m", UID: machine.UID}}}})
	cluster.Status.Initialization.InfrastructureProvisioned = &yes
	if err := c.Status().Update(ctx, cluster); err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(node.Bootstrap{NodeName: "m"})
	if err != nil {
		t.Fatal(err)
	}
	create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: clusterv1.ClusterSecretType,
		Data: map[string][]byte{v1alpha1.BootstrapSecretKey: document, v1alpha1.BootstrapSecretFormatKey: []byte(v1alpha1.BootstrapFormat)}})

	lm := &v1alpha1.LocalMachine{}
	until := func(what string, holds func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			return c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "m"}, lm) == nil && holds()
		})
	}
	until("the machine is provisioned", func() bool { return meta.IsStatusConditionTrue(lm.Status.Conditions, v1alpha1.ReadyCondition) })
	first := lm.Status.BootID

	for p := range host.Processes() {
		host.End(p)
	}
	until("the machine that ended is booted again", func() bool { return lm.Status.BootID != first })

	// Both are deleted, as with their namespace; the pods come first.
	for _, o := range []client.Object{lm, machine} {
		if err := c.Delete(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	until("the deletion is known", func() bool { return !lm.DeletionTimestamp.IsZero() && len(host.Processes()) == 1 })
	if err := c.Get(ctx, client.ObjectKeyFromObject(machine), machine); err != nil {
		t.Fatal(err)
	}
	machine.Status.Conditions = []metav1.Condition{{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue,
		Reason: clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason, LastTransitionTime: metav1.Now()}}
	if err := c.Status().Update(ctx, machine); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the LocalMachine is gone", func() bool {
		err := c.Get(ctx, client.ObjectKeyFromObject(lm), lm)
		return err != nil && client.IgnoreNotFound(err) == nil
	})
	if left := host.Processes(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	machine.Finalizers = nil
	if err := c.Update(ctx, machine); err != nil {
		t.Fatal(err)
	}
}

func startController(t *testing.T, server *apiserver.Server, host machine.Host) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	notTwice := true
	mgr, err := ctrl.NewManager(server.Config, ctrl.Options{Scheme: server.Client.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &notTwice}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	agent := filepath.Join(dir, "drover-agent")
	if err := os.WriteFile(agent, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &Provider{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Recorder: events.NewFakeRecorder(64),
		Root: filepath.Join(dir, "machines"), AgentBinary: agent, Host: host}
	if err := r.SetupWithManager(ctx, mgr); err != nil {
		t.Fatal(err)
	}
	apiserver.RunManager(ctx, t, mgr, cancel)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
