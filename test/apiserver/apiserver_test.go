package apiserver_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

func TestSharedServesOurKindsAndClusterAPIs(t *testing.T) {
	server, namespace := apiserver.Shared(t), apiserver.Shared(t).Namespace(t)
	for _, list := range []client.ObjectList{
		&v1alpha1.NodePoolList{}, &v1alpha1.NodeAgentList{}, &clusterv1.MachineList{}, &clusterv1.MachineDrainRuleList{},
	} {
		if err := server.Client.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			t.Errorf("%T: %v", list, err)
		}
	}
}

func TestUserHasNoRightsOfItsOwn(t *testing.T) {
	server := apiserver.Shared(t)
	nobody, err := client.New(server.User(t, "nobody"), client.Options{Scheme: server.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want forbidden: RBAC is off, or the certificate was not accepted", err)
	}
}

// TestNodeAgentsAreListedWithTheTimeOfTheirLastWord by the server's own tables, which is what kubectl shows.
func TestNodeAgentsAreListedWithTheTimeOfTheirLastWord(t *testing.T) {
	server := apiserver.Shared(t)
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "heard"}, Spec: v1alpha1.NodeAgentSpec{
		Revision: "r", Version: "v1.36.3",
		Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "r/b@sha256:" + strings.Repeat("0", 64)}},
		Cluster:   v1alpha1.ClusterSettings{Server: "https://10.0.0.1", ServerCA: "ca", ClientCA: "ca"},
	}}
	if err := server.Client.Create(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	agent.Status.HeartbeatTime = metav1.NewTime(time.Now().Add(-150 * time.Minute))
	if err := server.Client.Status().Update(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(server.Config)
	config.APIPath, config.GroupVersion, config.NegotiatedSerializer = "/apis", &v1alpha1.GroupVersion, scheme.Codecs.WithoutConversion()
	rests, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := rests.Get().Resource("nodeagents").Name("heard").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	if err := json.Unmarshal(text, table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	column := slices.IndexFunc(table.ColumnDefinitions, func(c metav1.TableColumnDefinition) bool { return c.Name == "Heard" && c.Priority == 0 })
	if column < 0 || table.Rows[0].Cells[column] != "150m" {
		t.Errorf("no column says that the agent was heard 150 minutes ago: %+v, %v", table.ColumnDefinitions, table.Rows[0].Cells)
	}
}

func TestControllerManagerCollectsGarbage(t *testing.T) {
	server := apiserver.Shared(t)
	server.StartControllerManager(t, "garbage-collector-controller")
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner", Namespace: server.Namespace(t)}}
	if err := server.Client.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", Namespace: owner.Namespace,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}}}
	if err := server.Client.Create(t.Context(), owned); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.Delete(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsNotFound(server.Client.Get(ctx, client.ObjectKeyFromObject(owned), owned)), nil
	})
	if err != nil {
		t.Errorf("the owned object was not collected: %v", err)
	}
}
