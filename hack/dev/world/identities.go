package world

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/pki"
)

const (
	kubeletClientUser = "kube-apiserver-kubelet-client"
	frontProxyUser    = "front-proxy-client"
)

// identities are the certificates of the world. The manager's is that of its own ServiceAccount, so that it has the
// rights that config/rbac gives and no others.
func identities() []pki.Identity {
	return []pki.Identity{
		{Name: "admin", User: "admin", Groups: []string{"system:masters"}},
		{Name: "controller-manager", User: "system:kube-controller-manager"},
		{Name: "scheduler", User: "system:kube-scheduler"},
		{Name: "manager", User: layout.ManagerUser, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + layout.ManagerSystem}},
		{Name: "routes", User: layout.RoutesUser},
		{Name: "apiserver-kubelet", User: kubeletClientUser},
		{Name: "apiserver", User: "kube-apiserver", Hosts: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + layout.DNSDomain,
			"127.0.0.1", layout.HostAddress, layout.APIServerIP,
		}},
		{Name: "artifacts", User: "drover-artifacts", Hosts: []string{"localhost", "127.0.0.1", layout.HostAddress}},
	}
}

// makePKI makes all keys, certificates and kubeconfigs anew.
func (w *World) makePKI() error {
	for _, path := range []string{w.Layout.PKI(), w.Layout.Kubeconfig()} {
		if err := w.journal.Record(journal.Entry{Kind: journal.Files, Name: path}); err != nil {
			return err
		}
	}
	return writePKI(w.Layout)
}

func writePKI(l layout.Layout) error {
	ca, err := pki.NewAuthority(l.PKI(), "drover-dev")
	if err != nil {
		return err
	}
	if err := pki.ServiceAccountKey(l.PKI()); err != nil {
		return err
	}
	for _, id := range identities() {
		if err := ca.Issue(id); err != nil {
			return err
		}
	}
	if err := writeEtcdPKI(l); err != nil {
		return err
	}
	if err := writeFrontProxyPKI(l); err != nil {
		return err
	}
	for _, name := range []string{"controller-manager", "scheduler", "manager", "routes"} {
		if err := pki.Kubeconfig(l.PKI(name+".kubeconfig"), l.PKI(), name, layout.APIServer); err != nil {
			return err
		}
	}
	return pki.Kubeconfig(l.Kubeconfig(), l.PKI(), "admin", layout.APIServer)
}

// writeEtcdPKI makes etcd's authority: the cluster's own signs the certificates of agents and kubelets, too.
func writeEtcdPKI(l layout.Layout) error {
	ca, err := pki.NewAuthority(l.PKI("etcd"), "drover-dev-etcd")
	if err != nil {
		return err
	}
	if err := ca.Issue(pki.Identity{Name: "server", User: "etcd", Hosts: []string{"127.0.0.1"}}); err != nil {
		return err
	}
	return ca.Issue(pki.Identity{Name: "client", User: "kube-apiserver-etcd-client"})
}

// writeFrontProxyPKI makes the authority that aggregated APIs trust with the names of their callers: a certificate of the
// cluster's own is a node's or a user's.
func writeFrontProxyPKI(l layout.Layout) error {
	ca, err := pki.NewAuthority(l.PKI("front-proxy"), "drover-dev-front-proxy")
	if err != nil {
		return err
	}
	return ca.Issue(pki.Identity{Name: "client", User: frontProxyUser})
}

// kubeletAccess lets the API server call the kubelets, for logs, exec and port-forward.
func kubeletAccess() (*unstructured.Unstructured, error) {
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "drover-dev:apiserver-kubelet"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:kubelet-api-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: kubeletClientUser}},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(binding)
	if err != nil {
		return nil, fmt.Errorf("let the API server call kubelets: %w", err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}
