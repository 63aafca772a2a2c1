package gitopsengine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
)

var (
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	pools      = schema.GroupVersionResource{Group: "fleet.drover.dev", Version: "v1alpha1", Resource: "nodepools"}
	agents     = schema.GroupVersionResource{Group: "fleet.drover.dev", Version: "v1alpha1", Resource: "nodeagents"}
	machines   = schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "machines"}
	revisions  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "controllerrevisions"}
)

// TestAPoolThatLiesInGit goes through what becomes of one, once as Argo CD applies by itself and once as it does with ServerSideApply=true.
func TestAPoolThatLiesInGit(t *testing.T) {
	argo := newArgoCD(t)
	for i, name := range []string{"client-side", "server-side"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, argo, name, version(i))
			s.serverSide = name == "server-side"
			s.isSynced()
			s.isHealed()
			s.isScaled()
			s.isPruned()
		})
	}
}

// site is an application in a namespace of its own.
type site struct {
	*application
	t      *testing.T
	client dynamic.Interface
}

func newSite(t *testing.T, argo *argoCD, name, version string) *site {
	t.Helper()
	c, err := dynamic.NewForConfig(cluster)
	if err != nil {
		t.Fatal(err)
	}
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(name)
	if _, err := c.Resource(namespaces).Create(context.Background(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return &site{&application{argoCD: argo, name: name, namespace: name, git: inGit(t, name, version)}, t, c}
}

// isSynced: what waits for the pool's nodes is applied when they are there, and then nothing differs, whatever the manager wrote.
func (s *site) isSynced() {
	s.t.Helper()
	s.differs("before the first sync", "make ConfigMap/after", "make NodeBundle/"+s.name, "make NodePool/workers", "make SimulatedMachineTemplate/small")
	s.syncs("the first time", false, map[string]string{
		"ConfigMap/after": "Synced", "NodeBundle/" + s.name: "Synced", "NodePool/workers": "Synced", "SimulatedMachineTemplate/small": "Synced",
	})
	s.reads(health.HealthStatusHealthy, "1 of 1 machine is ready")
	s.differs("once the pool is ready")
	s.sync(s.t, true)
	s.differs("after a second sync")
}

// isHealed: what somebody edits that Git has is a difference until the next sync.
func (s *site) isHealed() {
	s.t.Helper()
	s.edit(`{"spec":{"template":{"metadata":{"labels":{"tier":"db"}},"spec":{"kubelet":{"maxPods":50}}}}}`)
	s.differs("after an edit by hand", "change NodePool/workers")
	s.sync(s.t, true)
	s.differs("after it was healed")
	tier, _, _ := unstructured.NestedString(s.pool().Object, "spec", "template", "metadata", "labels", "tier")
	pods, _, _ := unstructured.NestedInt64(s.pool().Object, "spec", "template", "spec", "kubelet", "maxPods")
	if tier != "web" || pods != 80 {
		s.t.Errorf("it is the tier %s with %d pods, want what Git has", tier, pods)
	}
	s.reads(health.HealthStatusHealthy, "1 of 1 machine is ready")
}

// isScaled: what Git does not have is an autoscaler's, also beside a sync.
func (s *site) isScaled() {
	s.t.Helper()
	s.edit(`{"spec":{"replicas":3}}`, "scale")
	s.reads(health.HealthStatusHealthy, "3 of 3 machines are ready")
	s.differs("after it was scaled")
	s.sync(s.t, true)
	if replicas, _, _ := unstructured.NestedInt64(s.pool().Object, "spec", "replicas"); replicas != 3 {
		s.t.Errorf("a sync made %d replicas of 3", replicas)
	}
}

// isPruned: the pool goes, and nothing but the pool and what is the manager's to delete.
func (s *site) isPruned() {
	s.t.Helper()
	s.edit(`{"spec":{"paused":true}}`)
	s.reads(health.HealthStatusSuspended, "The pool is paused")
	s.differs("after it was paused")
	s.hasChildren()

	s.git = s.git[:2]
	s.differs("once Git has no pool", "prune ConfigMap/after", "prune NodePool/workers")
	kept := map[string]string{"NodeBundle/" + s.name: "Synced", "SimulatedMachineTemplate/small": "Synced"}
	s.syncs("without pruning", false, with(kept, "PruneSkipped"))
	s.syncs("with pruning", true, with(kept, "Pruned"))
	// Argo CD asks no script about what is being deleted.
	s.reads(health.HealthStatusProgressing, "Pending deletion")
	s.differs("while the pool is paused", "prune NodePool/workers")
	if left := len(s.list(machines)); left != 3 {
		s.t.Errorf("%d machines of 3 are left of a pool that is paused", left)
	}

	s.edit(`{"spec":{"paused":null}}`)
	s.differs("after the last machine is gone")
	for _, kind := range []schema.GroupVersionResource{pools, machines} {
		if left := s.list(kind); len(left) > 0 {
			s.t.Errorf("of the %s %s are left", kind.Resource, left)
		}
	}
}

// with is what becomes of what is no more in Git, beside the rest.
func with(rest map[string]string, pruned string) map[string]string {
	all := map[string]string{"ConfigMap/after": pruned, "NodePool/workers": pruned}
	for name, became := range rest {
		all[name] = became
	}
	return all
}

// hasChildren: Argo CD shows Machines and what is theirs below the pool. As there is no difference, none of what the manager makes is
// taken for something that Git once had, not even what nothing in the namespace owns.
func (s *site) hasChildren() {
	s.t.Helper()
	shown := map[string]int{}
	for _, name := range s.tree(s.pool()) {
		kind, _, _ := strings.Cut(name, "/")
		shown[kind]++
	}
	if diff := cmp.Diff(map[string]int{"NodePool": 1, "Machine": 3, "SimulatedMachine": 3, "Secret": 3}, shown); diff != "" {
		s.t.Errorf("what is shown (-want +got):\n%s", diff)
	}
	for _, kind := range []schema.GroupVersionResource{agents, revisions} {
		if len(s.list(kind)) == 0 {
			s.t.Errorf("there are no %s to be taken for Git's", kind.Resource)
		}
	}
}

func (s *site) pool() *unstructured.Unstructured {
	s.t.Helper()
	pool, err := s.client.Resource(pools).Namespace(s.namespace).Get(context.Background(), "workers", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return pool
}

// edit merges into the pool or a subresource, as kubectl does.
func (s *site) edit(patch string, subresource ...string) {
	s.t.Helper()
	if _, err := s.client.Resource(pools).Namespace(s.namespace).Patch(context.Background(), "workers", types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: "kubectl"}, subresource...); err != nil {
		s.t.Fatal(err)
	}
}

// list has the names of a kind's objects in the namespace; of one that is no namespace's, those of the cluster.
func (s *site) list(kind schema.GroupVersionResource) (names []string) {
	s.t.Helper()
	resource := dynamic.ResourceInterface(s.client.Resource(kind))
	if kind != agents {
		resource = s.client.Resource(kind).Namespace(s.namespace)
	}
	all, err := resource.List(context.Background(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, one := range all.Items {
		names = append(names, one.GetName())
	}
	return names
}

// syncs brings it to what Git has and compares what became of each object.
func (s *site) syncs(how string, prune bool, want map[string]string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.sync(s.t, prune)); diff != "" {
		s.t.Errorf("synced %s (-want +got):\n%s", how, diff)
	}
}

// differs waits until Argo CD's cache has these differences to Git.
func (s *site) differs(when string, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	eventually(s.t, when, func(context.Context) string {
		var got []string
		details := s.outOfSync(s.t)
		for what := range details {
			got = append(got, what)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Sprintf("(-want +got)\n%s%s", diff, details)
		}
		return ""
	})
}

// reads waits until the pool's health is so.
func (s *site) reads(status health.HealthStatusCode, message string) {
	s.t.Helper()
	eventually(s.t, "the pool is "+string(status), func(context.Context) string {
		got, err := health.GetResourceHealth(s.pool(), scripts{})
		if err != nil || got.Status != status || !strings.Contains(got.Message, message) {
			return fmt.Sprintf("it is %+v (%v)", got, err)
		}
		return ""
	})
}

// eventually polls until there is nothing left to wait for, and fails with what there was last.
func eventually(t *testing.T, what string, left func(context.Context) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	last := ""
	if err := wait.PollImmediateUntilWithContext(ctx, poll, func(ctx context.Context) (bool, error) {
		last = left(ctx)
		return last == "", nil
	}); err != nil {
		t.Fatalf("%s: %v: %s", what, err, last)
	}
}
