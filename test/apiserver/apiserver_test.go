package apiserver_test

import (
	"context"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
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
