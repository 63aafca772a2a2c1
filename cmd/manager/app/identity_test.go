package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

const ownNamespace = "drover-system"

// ownConfig is that of the manager's own ServiceAccount, with the rights that config/rbac gives it and, for the
// simulated provider's kinds, those that a provider does.
func ownConfig(tb testing.TB, server *apiserver.Server) *rest.Config {
	tb.Helper()
	files, err := filepath.Glob("../../../config/rbac/*.yaml")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no files in config/rbac: %v", err)
	}
	for _, file := range append([]string{"../../../config/namespace/namespace.yaml"}, files...) {
		if filepath.Base(file) != "kustomization.yaml" {
			install(tb, server, file)
		}
	}
	provider := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "simulated-provider"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{simulated.Group}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"},
	}}}
	create(tb, server, provider)
	bind(tb, server, provider.Name, "drover-manager")
	return server.User(tb, "system:serviceaccount:"+ownNamespace+":drover-manager", "system:serviceaccounts", "system:serviceaccounts:"+ownNamespace)
}

func install(tb testing.TB, server *apiserver.Server, file string) {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		create(tb, server, object)
	}
}

// create makes what several tests share, unless another one has.
func create(tb testing.TB, server *apiserver.Server, object client.Object) {
	tb.Helper()
	if err := server.Client.Create(tb.Context(), object); client.IgnoreAlreadyExists(err) != nil {
		tb.Fatal(err)
	}
}

// bind gives a ClusterRole to a ServiceAccount of our namespace.
func bind(tb testing.TB, server *apiserver.Server, role, account string) {
	tb.Helper()
	create(tb, server, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ownNamespace, Name: account}},
	})
}

// serviceAccountToken makes a ServiceAccount and a token of it.
func serviceAccountToken(tb testing.TB, server *apiserver.Server, name string) string {
	tb.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ownNamespace, Name: name}}
	create(tb, server, account)
	request := &authenticationv1.TokenRequest{}
	if err := server.Client.SubResource("token").Create(tb.Context(), account, request); err != nil {
		tb.Fatal(err)
	}
	return request.Status.Token
}
