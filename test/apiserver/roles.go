package apiserver

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// UserRoles are the ClusterRoles that Drover installs for its users.
func UserRoles(tb testing.TB) (roles []*rbacv1.ClusterRole) {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatal(err)
	}
	file, err := os.Open(filepath.Join(root, "config", "rbac", "user_roles.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		role := &rbacv1.ClusterRole{}
		if err := decoder.Decode(role); errors.Is(err, io.EOF) {
			return roles
		} else if err != nil {
			tb.Fatal(err)
		}
		roles = append(roles, role)
	}
}
