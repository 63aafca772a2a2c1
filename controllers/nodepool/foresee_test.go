package nodepool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/stop"
	"github.com/drover-dev/drover/test/apiserver"
)

// readerOf is a client of a user who may do nothing but read what the roles for viewers and planners let them.
func (s *site) readerOf(name string) client.Client {
	s.t.Helper()
	for _, role := range apiserver.UserRoles(s.t) {
		if role.Name != "drover-viewer" && role.Name != "drover-planner" {
			continue
		}
		role.Name = name + "-" + role.Name // other tests have theirs
		s.create(role)
		s.create(&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
		})
	}
	c, err := client.New(s.User(s.t, name), client.Options{Scheme: s.Client.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestAnEditIsForeseenBeforeItIsApplied(t *testing.T) {
	f := startFleet(t, "foreseen", 3)
	reader := f.readerOf("foresees")
	halt := &stop.Switch{Reader: reader, Namespace: f.Namespace(t)} // not that of the manager that runs here
	foresee := func(pool *v1alpha1.NodePool) planner.Explanation {
		t.Helper()
		var told planner.Explanation
		f.eventually("the pool is planned for", func() (err error) { // a role counts a moment after it is bound
			told, err = nodepool.Foresee(t.Context(), reader, pool, nil, halt)
			return err
		})
		return told
	}
	current := &v1alpha1.NodePool{}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), current); err != nil {
		t.Fatal(err)
	}

	if told := foresee(current); len(told.Decisions) != 0 || len(told.Problems) != 0 || told.Updated != 3 || told.Active != 3 {
		t.Errorf("a pool that is done is told of as %+v", told)
	}

	edited := current.DeepCopy()
	edited.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](77)
	told := foresee(edited)
	if len(told.Decisions) != 3 || told.Revision == current.Status.Revision || told.Updated != 0 {
		t.Fatalf("the edit is told of as %+v", told)
	}
	first := told.Decisions[0].Name
	for i, d := range told.Decisions {
		if d.Verb != planner.Update || d.Class != disruption.Restart || !strings.Contains(d.Reason, "kubelet.maxPods") {
			t.Errorf("decision %d is %+v, want an Update that restarts the kubelet", i, d)
		}
		if i == 0 && d.Waits != "" || i > 0 && (d.Waits != planner.DeferredRollout || !strings.Contains(d.For, first)) {
			t.Errorf("decision %d waits because of %q for %q, want one at a time", i, d.Waits, d.For)
		}
	}
	halted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: halt.Namespace, Name: v1alpha1.StopName, Annotations: map[string]string{v1alpha1.StopAnnotation: "a fire"}}}
	f.create(halted)
	if d := foresee(edited).Decisions; d[0].Waits != planner.DeferredStopped || !strings.Contains(d[0].For, "a fire") {
		t.Errorf("a stopped fleet is told of as %+v", d)
	}
	if err := f.Client.Delete(t.Context(), halted); err != nil {
		t.Fatal(err)
	}
	more := current.DeepCopy()
	more.Spec.Replicas = ptr.To[int32](5)
	if told := foresee(more); len(told.Decisions) != 2 || told.Decisions[0].Verb != planner.Create {
		t.Errorf("two more machines are told of as %+v", told)
	}

	after := &v1alpha1.NodePool{}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(current, after); diff != "" {
		t.Errorf("a plan changed the pool (-before +after):\n%s", diff)
	}

	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec = *edited.Spec.DeepCopy() })
	f.eventually("the manager does what was foreseen", func() error {
		pool := &v1alpha1.NodePool{}
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), pool); err != nil {
			return err
		}
		if diff := cmp.Diff([]string{first}, pool.Status.Updating); diff != "" {
			return fmt.Errorf("it changes (-foreseen +changed):\n%s", diff)
		}
		if pool.Status.Revision != told.Revision {
			return fmt.Errorf("the revision is %s, foreseen was %s", pool.Status.Revision, told.Revision)
		}
		return nil
	})
}
