package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// boundSecrets is what config/bound-secrets makes of the manager's rights, whom nobody has bound yet.
func boundSecrets(t *testing.T, server *apiserver.Server) *rest.Config {
	t.Helper()
	config := ownConfig(t, server)
	everywhere := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "drover-secrets"}}
	if err := server.Client.Delete(t.Context(), everywhere); err != nil {
		t.Fatal(err)
	}
	return config
}

// bindSecrets does what the manager's conditions say.
func bindSecrets(t *testing.T, server *apiserver.Server, namespace string) {
	t.Helper()
	create(t, server, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "drover-secrets"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drover-secrets"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ownNamespace, Name: "drover-manager"}}})
}

func TestTheManagerListsNoSecrets(t *testing.T) {
	server := apiserver.Shared(t)
	c, err := client.New(ownConfig(t, server), client.Options{Scheme: server.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := server.Namespace(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "key"}}
	if err := c.Create(t.Context(), secret); err != nil {
		t.Errorf("it may not write a bootstrap Secret: %v", err)
	}
	if err := c.List(t.Context(), &corev1.SecretList{}, client.InNamespace(namespace)); !apierrors.IsForbidden(err) {
		t.Errorf("it may list a namespace's Secrets: %v", err)
	}
	if err := c.Delete(t.Context(), secret); !apierrors.IsForbidden(err) {
		t.Errorf("it may delete a Secret: %v", err)
	}
}

func TestTheRightToSecretsMayBeBoundByNamespace(t *testing.T) {
	server := apiserver.Start(t)
	config := boundSecrets(t, server)
	bound, free := server.Namespace(t), server.Namespace(t)
	bindSecrets(t, server, bound)
	startManagerOfHosts(t, config)
	createHost(t, server, bound, 1)
	createHost(t, server, free, 2)
	pool := createHostPool(t, server, free)

	// Where the right is bound the manager goes on to the server, at which nobody listens.
	waitHost(t, server, bound, "Unreachable", "")
	command := "kubectl create rolebinding drover-secrets --namespace=" + free + " --clusterrole=drover-secrets --serviceaccount=drover-system:drover-manager"
	waitHost(t, server, free, v1alpha1.ReasonSecretForbidden, command)
	waitFor(t, server, pool, "the command on the pool", func() bool { return says(pool.Status.Conditions, command) })

	bindSecrets(t, server, free)
	waitFor(t, server, pool, "the pool's next complaint", func() bool { return says(pool.Status.Conditions, "No Host is free and fit") })
	host := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: free, Name: "h"}}
	look := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"look":"now"}}}`))
	if err := server.Client.Patch(t.Context(), host, look); err != nil {
		t.Fatal(err)
	}
	waitHost(t, server, free, "Unreachable", "")
}

// startManagerOfHosts starts a manager that serves Hosts. Its agent is never put anywhere.
func startManagerOfHosts(t *testing.T, config *rest.Config) {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions()
	options.AgentBinaries = []string{own}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := New(ctx, config, options)
	if err != nil {
		t.Fatal(err)
	}
	apiserver.RunManager(ctx, t, mgr, cancel)
}

// createHost applies a Host and the Secret of its key, at an address where nobody listens.
func createHost(t *testing.T, server *apiserver.Server, namespace string, port int32) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	hostKey, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	create(t, server, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "key"}, Data: map[string][]byte{"key": pem.EncodeToMemory(block)}})
	create(t, server, &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "h"}, Spec: v1alpha1.HostSpec{SSHAccess: v1alpha1.SSHAccess{
		Address: "127.0.0.1", Port: port, KeySecretRef: v1alpha1.SecretReference{Name: "key"},
		HostKeys: []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(hostKey)))},
	}}})
}

func createHostPool(t *testing.T, server *apiserver.Server, namespace string) *v1alpha1.NodePool {
	t.Helper()
	create(t, server, &v1alpha1.HostMachineTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rack"},
		Spec: v1alpha1.HostMachineTemplateSpec{Template: v1alpha1.HostMachineTemplateResource{Spec: v1alpha1.HostMachineSpec{UnreachableTimeoutSeconds: ptr.To[int32](900)}}}})
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "servers"}}
	pool.Spec.Replicas = ptr.To[int32](1)
	pool.Spec.Template.Spec.Version = testVersion
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{
		APIGroup: v1alpha1.GroupVersion.Group, Kind: "HostMachineTemplate", Name: "rack"}
	create(t, server, newBundle())
	create(t, server, pool)
	return pool
}

func waitHost(t *testing.T, server *apiserver.Server, namespace, reason, message string) {
	t.Helper()
	h := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "h"}}
	waitFor(t, server, h, reason, func() bool {
		reachable := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostReachableCondition)
		return reachable != nil && reachable.Reason == reason && strings.Contains(reachable.Message, message)
	})
}

// waitFor reads an object until it is as it should be.
func waitFor(t *testing.T, server *apiserver.Server, object client.Object, what string, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := server.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
		return err == nil && done(), err
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v: %+v", what, err, object)
	}
}

func says(conditions []metav1.Condition, text string) bool {
	for _, c := range conditions {
		if strings.Contains(c.Message, text) {
			return true
		}
	}
	return false
}

// The server's key is deleted before its release.
func TestAPoolThatGoesSaysWhichKeyItsServerNeeds(t *testing.T) {
	server := apiserver.Shared(t)
	startManagerOfHosts(t, ownConfig(t, server))
	namespace := server.Namespace(t)
	pool := createHostPool(t, server, namespace)
	machines := &v1alpha1.HostMachineList{}
	waitFor(t, server, pool, "a machine without a Host", func() bool { return says(pool.Status.Conditions, "There is no Host") })
	if err := server.Client.List(t.Context(), machines, client.InNamespace(namespace)); err != nil || len(machines.Items) != 1 {
		t.Fatalf("the machines are %+v, %v", machines.Items, err)
	}
	createHost(t, server, namespace, 3)
	claim := `{"kind":"HostMachine","name":"` + machines.Items[0].Name + `","uid":"` + string(machines.Items[0].UID) + `"}`
	host := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "h"}}
	claimed := client.MergeFrom(host.DeepCopy())
	host.Annotations = map[string]string{v1alpha1.ClaimAnnotation: claim}
	if err := server.Client.Patch(t.Context(), host, claimed); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []client.Object{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "key"}}, pool.DeepCopy()} {
		if err := server.Client.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, server, pool, "the missing Secret on the pool", func() bool { return says(pool.Status.Conditions, "There is no Secret key in the namespace") })

	// The server is no more: the way out that the Host tells.
	waitFor(t, server, host, "the way out", func() bool { return says(host.Status.Conditions, "remove the annotation "+v1alpha1.ClaimAnnotation) })
	noClaim := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1alpha1.ClaimAnnotation+`":null}}}`))
	if err := server.Client.Patch(t.Context(), host, noClaim); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsNotFound(server.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool)), nil
	})
	if err != nil {
		t.Errorf("the pool stays: %+v", pool.Status.Conditions)
	}
}
