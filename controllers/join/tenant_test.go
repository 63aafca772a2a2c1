package join_test

import (
	"context"
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// tenant is somebody who may write these resources of Cluster API's in one namespace, and nothing else.
func (c *cluster) tenant(t *testing.T, name, namespace string, resources ...string) client.Client {
	t.Helper()
	must(t, c.Client.Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"cluster.x-k8s.io"}, Resources: resources, Verbs: []string{"get", "create", "patch"}}},
	}))
	must(t, c.Client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}))
	return c.as(t, c.User(t, name))
}

func tenantMachine(namespace, name, providerID string) *clusterv1.Machine {
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	machine.Spec.ClusterName = v1alpha1.AdoptedClusterName
	machine.Spec.ProviderID = providerID
	machine.Spec.Bootstrap.DataSecretName = new("none")
	machine.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: "LocalMachine", Name: name}
	return machine
}

func aTenantMayNotTakeAnothersNode(t *testing.T, c *cluster) {
	t.Helper()
	namespace := c.Namespace(t)
	tenant := c.tenant(t, "tenant", namespace, "machines")
	controller := c.tenant(t, "controller", namespace, "machines", "machines/status")
	taken := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"providerID":"aws:///zone/i-control-plane"}}`))

	eventually(t, "a Machine that names somebody's Node is refused", func(ctx context.Context) error {
		err := tenant.Create(ctx, tenantMachine(namespace, "thief", "aws:///zone/i-control-plane"), client.DryRunAll)
		if apierrors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("got %w", err)
	})
	elsewhere := tenantMachine(namespace, "elsewhere", "aws:///zone/i-control-plane")
	elsewhere.Spec.ClusterName = "another"
	must(t, tenant.Create(t.Context(), elsewhere))
	moved := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"clusterName":"drover"}}`))
	if err := tenant.Patch(t.Context(), elsewhere, moved); !apierrors.IsForbidden(err) {
		t.Errorf("moving another cluster's Machine, and its claim of a Node, into this one gave %v, want it forbidden", err)
	}
	own := tenantMachine(namespace, "own", "")
	eventually(t, "a Machine that names none is made", func(ctx context.Context) error { return tenant.Create(ctx, own) })
	if err := tenant.Patch(t.Context(), own.DeepCopy(), taken); !apierrors.IsForbidden(err) {
		t.Errorf("naming somebody's Node later gave %v, want it forbidden", err)
	}
	must(t, controller.Patch(t.Context(), own.DeepCopy(), taken))
	must(t, tenant.Patch(t.Context(), own.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))))
	filtered := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"cluster.x-k8s.io/watch-filter":"drover"}}}`))
	if err := tenant.Patch(t.Context(), own.DeepCopy(), filtered); !apierrors.IsForbidden(err) {
		t.Errorf("making Drover look at a Machine that names a Node gave %v, want it forbidden", err)
	}
	must(t, controller.Patch(t.Context(), own.DeepCopy(), filtered))
	must(t, tenant.Patch(t.Context(), own.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"c"}}}`))))
}
