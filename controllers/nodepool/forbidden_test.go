package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// providerKinds stand, in these tests, for those of an infrastructure provider that nobody bound to the manager.
var providerKinds = []string{"localmachines", "localmachinetemplates"}

// allow gives a user rules of the manager's own ClusterRole.
func (s *site) allow(user, name string, edit func(*rbacv1.ClusterRole)) {
	s.t.Helper()
	raw, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(raw, role); err != nil {
		s.t.Fatal(err)
	}
	role.Name = name
	edit(role)
	s.create(role)
	s.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

func (s *site) mayList(user *rest.Config, list client.ObjectList) error {
	c, err := client.New(user, client.Options{Scheme: s.Scheme})
	if err != nil {
		return err
	}
	return c.List(s.t.Context(), list)
}

// TestForbiddenTemplate has more pools of a kind that the manager may not read than the manager has workers. None may
// wait for it in silence, and one of which nothing was ever made may go.
func TestForbiddenTemplate(t *testing.T) {
	s := newSite(t)
	user := s.User(t, "stranger")
	s.allow("stranger", "without-provider", func(role *rbacv1.ClusterRole) {
		for i := range role.Rules {
			rule := &role.Rules[i]
			rule.Resources = slices.DeleteFunc(rule.Resources, func(r string) bool { return slices.Contains(providerKinds, r) })
		}
		role.Rules = slices.DeleteFunc(role.Rules, func(rule rbacv1.PolicyRule) bool { return len(rule.Resources) == 0 })
	})
	s.eventually("the user may list pools", func() error { return s.mayList(user, &v1alpha1.NodePoolList{}) })
	s.startManagerAs(user)
	var pools []*v1alpha1.NodePool
	for i := range 12 {
		pools = append(pools, s.pool(fmt.Sprintf("workers-%d", i), 1))
		s.create(pools[i])
	}
	for _, pool := range pools {
		s.eventually("each pool says what is the matter", func() error {
			return s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonTemplateForbidden)
		})
	}
	for _, pool := range pools[1:] {
		if err := s.Client.Delete(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	for _, pool := range pools[1:] {
		s.eventually("a pool without machines goes", func() error { return s.gone(pool) })
	}

	s.allow("stranger", "with-templates", func(role *rbacv1.ClusterRole) {
		role.Rules = []rbacv1.PolicyRule{{APIGroups: []string{"fleet.drover.dev"}, Resources: providerKinds[1:], Verbs: []string{"get", "list", "watch"}}}
	})
	s.eventually("the user may list templates", func() error { return s.mayList(user, &v1alpha1.LocalMachineTemplateList{}) })
	blind := s.pool("blind", 1)
	s.create(blind)
	s.eventually("Cluster API would wait for the machines it may not list", func() error {
		return s.hasCondition(blind, v1alpha1.StalledCondition, v1alpha1.ReasonTemplateForbidden)
	})
	if err := s.Client.Delete(t.Context(), blind); err != nil {
		t.Fatal(err)
	}

	s.allow("stranger", "with-provider", func(*rbacv1.ClusterRole) {})
	s.eventually("the user may list machines", func() error { return s.mayList(user, &v1alpha1.LocalMachineList{}) })
	update(s, pools[0], func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](2) })
	s.eventually("the pool goes on", func() error { return s.counts(2, 0) })
}

func (s *site) gone(object client.Object) error {
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
		return errors.Join(fmt.Errorf("%T %s is there", object, object.GetName()), err)
	}
	return nil
}

// blind may not list infrastructure machines.
type blind struct{ client.Reader }

func (b blind) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if list.GetObjectKind().GroupVersionKind().Kind == "LocalMachineList" {
		return apierrors.NewForbidden(schema.GroupResource{Group: "fleet.drover.dev", Resource: "localmachines"}, "", errors.New("no rule allows it"))
	}
	return b.Reader.List(ctx, list, opts...)
}

// TestForbiddenMachines deletes a pool that made machines of a kind that may not be read any more: one may be left.
func TestForbiddenMachines(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 1)
	s.create(pool)
	s.reconcileUntil(newDying(s, 1000, false), pool, func() error { return s.counts(1, 0) })
	if err := s.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	r := s.reconciler(s.Client)
	r.APIReader = blind{Reader: s.Client}
	s.eventually("the pool says why it stays", func() error {
		s.clusterAPI()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
			return err
		}
		return s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonMachinesForbidden)
	})
	s.reconcileUntil(newDying(s, 1000, false), pool, func() error { return s.gone(pool) })
}
