package install_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drover-dev/drover/hack/dev/install"
)

func names(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, u := range objects {
		all = append(all, u.GetKind()+"/"+u.GetName())
	}
	return all
}

func TestParseAndSplit(t *testing.T) {
	objects, err := install.Parse([]byte(`---
# nothing but a comment
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b}}
`))
	if err != nil {
		t.Fatal(err)
	}
	early, late := install.Split(objects)
	if diff := cmp.Diff([]string{"Namespace/b"}, names(early)); diff != "" {
		t.Errorf("applied first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ServiceAccount/a"}, names(late)); diff != "" {
		t.Errorf("applied after (-want +got):\n%s", diff)
	}
}

// The repository's own kustomizations build, and no namespace is forgotten: an object without one would land wherever
// the user's kubeconfig points.
func TestKustomizations(t *testing.T) {
	for _, name := range []string{"default", "dev", "prometheus"} {
		t.Run(name, func(t *testing.T) {
			objects, err := install.Kustomization(filepath.Join("..", "..", "..", "config", name))
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) == 0 {
				t.Error("it is empty")
			}
			namespaced := map[string]bool{"ServiceAccount": true, "Role": true, "RoleBinding": true, "Deployment": true, "Service": true, "ServiceMonitor": true}
			for _, u := range objects {
				if namespaced[u.GetKind()] && u.GetNamespace() == "" {
					t.Errorf("%s %s has no namespace", u.GetKind(), u.GetName())
				}
			}
		})
	}
}

// A Role that is bound to nobody is a right that the manager thinks it has.
func TestEveryRoleIsBound(t *testing.T) {
	objects, err := install.Kustomization(filepath.Join("..", "..", "..", "config", "rbac"))
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]bool{}
	for _, u := range objects {
		if u.GetKind() == "RoleBinding" {
			role, _, _ := unstructured.NestedString(u.Object, "roleRef", "name")
			bound[u.GetNamespace()+"/"+role] = true
		}
	}
	for _, u := range objects {
		if name := u.GetNamespace() + "/" + u.GetName(); u.GetKind() == "Role" && !bound[name] {
			t.Errorf("the Role %s has no RoleBinding: add one to config/rbac/role_binding.yaml", name)
		}
	}
}

// An aggregated API server that has policies is ready when it has read all objects of the kinds of their parameters, which
// its own role need not allow.
func TestNoAdmissionPolicyHasAParameter(t *testing.T) {
	objects, err := install.Kustomization(filepath.Join("..", "..", "..", "config", "admission"))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range objects {
		if kind, has, _ := unstructured.NestedMap(u.Object, "spec", "paramKind"); has {
			t.Errorf("%s %s has a parameter of kind %v", u.GetKind(), u.GetName(), kind)
		}
	}
}

func TestCondition(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "message": "1 of 2 machines is ready"},
	}}}}
	if status, message := install.Condition(u, "Ready"); status != "False" || message != "1 of 2 machines is ready" {
		t.Errorf("Condition = %q, %q", status, message)
	}
	if status, message := install.Condition(u, "Stalled"); status != "" || message != "" {
		t.Errorf("Condition of an absent type = %q, %q, want nothing", status, message)
	}
}
