package agent

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
	"github.com/drover-dev/drover/test/apiserver"
)

// letJoin has machines join with the token abcdef.0123456789abcdef, until the test's end.
func letJoin(t *testing.T, server *apiserver.Server) {
	t.Helper()
	server.StartControllerManager(t, "certificatesigningrequest-signing-controller")
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	subject := func(group string) rbacv1.Subject {
		return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}
	}
	_, role := client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "joiners"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{certificatesv1.GroupName}, Resources: []string{"certificatesigningrequests"}, Verbs: []string{"create", "get", "list", "watch"}},
		{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"nodeagents"}, Verbs: []string{"list"}},
	}}, metav1.CreateOptions{})
	_, binding := client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "joiners"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "joiners"},
		Subjects: []rbacv1.Subject{subject(v1alpha1.BootstrapGroup), subject(v1alpha1.AgentsGroup)},
	}, metav1.CreateOptions{})
	_, secret := client.CoreV1().Secrets(metav1.NamespaceSystem).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-abcdef"}, Type: corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true", "auth-extra-groups": v1alpha1.BootstrapGroup,
		},
	}, metav1.CreateOptions{})
	for _, err := range []error{role, binding, secret} {
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			requests, err := client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, nil //nolint:nilerr // it is asked again
			}
			for _, csr := range requests.Items {
				if len(csr.Status.Conditions) == 0 {
					csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
					_, _ = client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, &csr, metav1.UpdateOptions{})
				}
			}
			return false, nil
		})
	}()
}

// document puts a bootstrap document onto a machine.
func document(t *testing.T, a *Agent, token string, s server) {
	t.Helper()
	b := *a.bootstrap
	b.Token, b.Spec.Cluster = token, s.settings()
	data, err := json.Marshal(&b)
	if err == nil {
		err = atomicfile.Write(a.opts.BootstrapPath, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refused is the agent of a node whose certificate the API server does not know, and those of a document that names the server by
// another address.
func refused(t *testing.T) (a *Agent, elsewhere server) {
	t.Helper()
	a = certified(t, time.Now())
	config := apiserver.Shared(t).Config
	a.bootstrap.Spec.Cluster = v1alpha1.ClusterSettings{Server: config.Host, ServerCA: string(config.CAData)}
	a.opts.BootstrapPath, a.switched = filepath.Join(t.TempDir(), "bootstrap.json"), make(chan struct{}, 1)
	letJoin(t, apiserver.Shared(t))
	return a, server{URL: strings.Replace(config.Host, "127.0.0.1", "localhost", 1), CA: string(config.CAData)}
}

const newToken = "abcdef.0123456789abcdef"

// A node goes on while its agent is refused; it need not be restarted to get another certificate.
func TestAnAgentThatIsRefusedJoinsAgainWithANewDocument(t *testing.T) {
	a, elsewhere := refused(t)
	api, err := kubeapi.New(a.configOf(a.present()))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ask(t.Context(), api); !apierrors.IsUnauthorized(err) {
		t.Fatalf("it is not refused: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.rejoin(ctx, api) }()
	defer func() { cancel(); <-ended }()
	document(t, a, newToken, elsewhere)
	within(t, time.Minute, "it is known", func() bool { return a.answered() == elsewhere && a.ask(ctx, api) == nil })
	if a.present() != elsewhere {
		t.Errorf("the components are sent to %s", a.present().URL)
	}
	if left, err := loadBootstrap(a.opts.BootstrapPath); err != nil || left.Token != "" {
		t.Errorf("the token is left: %v", err)
	}
}

func TestAnAgentThatIsKnownUsesNoToken(t *testing.T) {
	a, elsewhere := refused(t)
	serving(t, a.identityPaths())
	api, err := kubeapi.New(a.configOf(a.present()))
	if err != nil {
		t.Fatal(err)
	}
	document(t, a, newToken, elsewhere)
	left, err := loadBootstrap(a.opts.BootstrapPath)
	if err != nil || !a.isKnown(t.Context(), api, left) {
		t.Errorf("it would join again (%v)", err)
	}
	away, err := kubeapi.New(a.configOf(server{URL: "https://127.0.0.1:1"}))
	if err != nil {
		t.Fatal(err)
	}
	left.Spec.Cluster = a.present().settings()
	if !a.isKnown(t.Context(), away, left) {
		t.Error("it would join again at a server that does not answer")
	}
}

func TestAnAgentThatIsStartedWithoutAnIdentityJoinsWhereTheNewDocumentSays(t *testing.T) {
	a, elsewhere := refused(t)
	certify(t, a, time.Now().Add(-1000*time.Hour))
	a.boot = bootreport.New(t.TempDir(), logr.Discard())
	document(t, a, newToken, elsewhere)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, api, err := a.tryToIdentify(ctx)
	if err == nil {
		err = a.ask(ctx, api)
	}
	if err != nil || a.present() != elsewhere || a.answered() != elsewhere {
		t.Errorf("it speaks to %s: %v", a.present().URL, errors.Join(err, ctx.Err()))
	}
}
