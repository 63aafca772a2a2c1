package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// rawGroup is the group of raw machines' tokens. kube-controller-manager approves its certificate requests unseen, as
// kubeadm has it.
const rawGroup = "system:bootstrappers:raw"

// rawAccess lets raw machines join.
func rawAccess() ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for name, role := range map[string]string{
		"drover-bench:bootstrap": "system:node-bootstrapper",
		"drover-bench:approve":   "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
	} {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: rawGroup}},
		})
		if err != nil {
			return nil, fmt.Errorf("let raw machines join: %w", err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}

// rawToken is a join token of that group. The cluster lasts for minutes and is this host's only.
func (b *bench) rawToken(ctx context.Context) (string, error) {
	const id, secret = "drvraw", "0123456789abcdef"
	err := b.client.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + id},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true", "auth-extra-groups": rawGroup,
		},
	})
	if client.IgnoreAlreadyExists(err) != nil {
		return "", fmt.Errorf("make the raw machines' token: %w", err)
	}
	return id + "." + secret, nil
}

func tokenKubeconfig(cluster v1alpha1.ClusterSettings, token string) ([]byte, error) {
	return clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"raw": {Server: cluster.Server, CertificateAuthorityData: []byte(cluster.ServerCA)}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"raw": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"raw": {Cluster: "raw", AuthInfo: "raw"}},
		CurrentContext: "raw",
	})
}

func (b *bench) deleteNode(ctx context.Context, name string) error {
	if err := b.client.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the Node %s: %w", name, err)
	}
	return nil
}
