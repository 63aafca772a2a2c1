package kubeapi

import (
	"context"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestWhatIsNotThereIsAnAnswer(t *testing.T) {
	server := apiserver.Shared(t)
	api, err := New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := bounded(t)
	if agents, err := api.ListNodeAgents(ctx, "absent"); err != nil || len(agents) > 0 {
		t.Errorf("got %v, %v; want no NodeAgent", agents, err)
	}
	if there, err := api.HasNode(ctx, "absent"); err != nil || there {
		t.Errorf("got %v, %v; want no Node", there, err)
	}
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "present"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"present": true, "presen": false} {
		if there, err := api.HasNode(ctx, name); err != nil || there != want {
			t.Errorf("%s: got %v, %v", name, there, err)
		}
	}
}

func TestAnAPIServerWithoutTheKindDoesNotSayThatThereIsNone(t *testing.T) {
	api, err := New(apiserver.Start(t, apiserver.WithoutCRDs()).Config)
	if err != nil {
		t.Fatal(err)
	}
	if agents, err := api.ListNodeAgents(bounded(t), "n"); err == nil {
		t.Errorf("got %v and no error: a node would leave its cluster when Drover's kinds are removed", agents)
	}
}
