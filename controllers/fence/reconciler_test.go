package fence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/sides"
)

const (
	nodeX       = "workers-7f556-0"
	providerIDX = v1alpha1.LocalProviderIDPrefix + "default/" + nodeX
)

// world is a cluster, and a cache of it that may be behind.
type world struct {
	*Reconciler
	live, cached client.Client
	clock        *testingclock.FakeClock
	events       *events.FakeRecorder
	// failing is what a live read of NodeAgents or Machines ends with.
	failing error
}

// newWorld has the same objects in the cluster and in the cache, and more in the cluster.
func newWorld(t *testing.T, both []client.Object, moreLive ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{clock: testingclock.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)), events: events.NewFakeRecorder(10)}
	copies := func(objects []client.Object) []client.Object {
		var list []client.Object
		for _, object := range objects {
			if c, ok := object.DeepCopyObject().(client.Object); ok {
				list = append(list, c)
			}
		}
		return list
	}
	w.cached = fake.NewClientBuilder().WithScheme(scheme).WithObjects(copies(both)...).Build()
	live := fake.NewClientBuilder().WithScheme(scheme).WithObjects(copies(append(both, moreLive...))...).Build()
	w.live = interceptor.NewClient(live, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, isAgent := object.(*v1alpha1.NodeAgent); isAgent && w.failing != nil {
				return w.failing
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if w.failing != nil {
				return w.failing
			}
			return c.List(ctx, list, opts...)
		},
	})
	side := sides.Side{Client: reads{Client: w.live, cache: w.cached}, Live: w.live}
	w.Reconciler = &Reconciler{Management: side, Workload: side, Clock: w.clock, Recorder: w.events}
	return w
}

// reads has a client read from a cache.
type reads struct {
	client.Client
	cache client.Reader
}

func (r reads) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return r.cache.Get(ctx, key, object, opts...) //nolint:wrapcheck // as the client would
}

func (r reads) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return r.cache.List(ctx, list, opts...) //nolint:wrapcheck // as the client would
}

// twice reconciles, lets the grace pass and reconciles again.
func (w *world) twice(t *testing.T) error {
	t.Helper()
	request := ctrl.Request{NamespacedName: client.ObjectKey{Name: nodeX}}
	_, first := w.Reconcile(t.Context(), request)
	w.clock.Step(grace)
	_, second := w.Reconcile(t.Context(), request)
	return errors.Join(first, second)
}

// node is the Node as the cluster has it, or nil.
func (w *world) node(t *testing.T) *corev1.Node {
	t.Helper()
	node := &corev1.Node{}
	err := w.live.Get(t.Context(), client.ObjectKey{Name: nodeX}, node)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func node(edit ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeX, UID: "node"}}
	n.Spec.ProviderID = providerIDX
	for _, e := range edit {
		e(n)
	}
	return n
}

func machine(name, providerID string) *clusterv1.Machine {
	m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{v1alpha1.PoolUIDLabel: "u"}}}
	m.Spec.ProviderID = providerID
	return m
}

func unlabelled(m *clusterv1.Machine) *clusterv1.Machine {
	m.Labels = nil
	return m
}

func agent() *v1alpha1.NodeAgent {
	return &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: nodeX}}
}

func fenced(names ...string) *rbacv1.ClusterRoleBinding {
	list := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: Name}}
	for _, name := range names {
		list.Subjects = append(list.Subjects, kubelet(name))
	}
	return list
}

func foreign(n *corev1.Node)  { n.Spec.ProviderID = "aws:///zone/i-1" }
func unmarked(n *corev1.Node) { n.Spec.ProviderID = "" }
func pooled(n *corev1.Node)   { n.Labels = map[string]string{v1alpha1.PoolUIDLabel: "u"} }

func TestANodeIsRemovedOnlyWhenNoMachineStandsForIt(t *testing.T) {
	for _, c := range []struct {
		reason   string
		both     []client.Object
		moreLive []client.Object
		removed  bool
	}{
		{reason: "it has a local machine's provider ID and nothing stands for it", both: []client.Object{node()}, removed: true},
		{reason: "only its labels say that it is of a pool", both: []client.Object{node(foreign, pooled)}, removed: true},
		{reason: "only its name tells, as it was released before", both: []client.Object{node(unmarked), fenced(nodeX)}, removed: true},
		{reason: "another Machine is there", both: []client.Object{node(), machine("other", v1alpha1.LocalProviderIDPrefix+"default/other")}, removed: true},
		{reason: "a Machine of its name has another provider ID", both: []client.Object{node(), machine(nodeX, "aws:///zone/i-2")}, removed: true},
		{reason: "it is nobody's of ours", both: []client.Object{node(foreign)}},
		{reason: "it is nobody's of ours, with a name like ours", both: []client.Object{node(unmarked), fenced("workers-7f556-1")}},
		{reason: "it has a NodeAgent", both: []client.Object{node(), agent()}},
		{reason: "a Machine has its provider ID", both: []client.Object{node(), machine("named-otherwise", providerIDX)}},
		{reason: "a Machine has its name and no provider ID yet", both: []client.Object{node(foreign, pooled), machine(nodeX, "")}},
		{reason: "the same, and somebody took its labels", both: []client.Object{node(foreign, pooled), unlabelled(machine(nodeX, ""))}},
		{reason: "the cache does not show the NodeAgent yet", both: []client.Object{node()}, moreLive: []client.Object{agent()}},
		{reason: "the cache does not show the Machine yet", both: []client.Object{node()}, moreLive: []client.Object{machine(nodeX, providerIDX)}},
	} {
		t.Run(strings.ReplaceAll(c.reason, " ", "_"), func(t *testing.T) {
			w := newWorld(t, c.both, c.moreLive...)
			if err := w.twice(t); err != nil {
				t.Fatal(err)
			}
			if got := w.node(t) == nil; got != c.removed {
				t.Fatalf("removed: %v, want %v, as %s", got, c.removed, c.reason)
			}
			listed, err := (List{Workload: w.Workload}).Has(t.Context(), nodeX)
			if err != nil || listed != c.removed {
				t.Errorf("fenced: %v (%v), want %v", listed, err, c.removed)
			}
			if told := len(w.events.Events) > 0; told != c.removed {
				t.Errorf("told by an event: %v, want %v", told, c.removed)
			}
		})
	}
}

func TestAnErrorIsNoAbsence(t *testing.T) {
	w := newWorld(t, []client.Object{node()}, machine(nodeX, providerIDX))
	w.failing = errors.New("the API server is busy")
	if err := w.twice(t); !errors.Is(err, w.failing) {
		t.Errorf("got %v, want %v", err, w.failing)
	}
	if n := w.node(t); n == nil || len(n.Spec.Taints) > 0 {
		t.Errorf("got Node %v, want it as it was", n)
	}
}

func TestANodeTakesNoPodsForAMomentAndThenGoes(t *testing.T) {
	w := newWorld(t, []client.Object{node()})
	request := ctrl.Request{NamespacedName: client.ObjectKey{Name: nodeX}}
	result, err := w.Reconcile(t.Context(), request)
	if err != nil || result.RequeueAfter != grace {
		t.Fatalf("got %v, %v, want another look after %s", result, err, grace)
	}
	if n := w.node(t); n == nil || len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Key != taintKey {
		t.Fatalf("got Node %v, want it tainted", n)
	}

	// Its Machine is put back in that moment, and the cache shows all.
	for _, c := range []client.Client{w.live, w.cached} {
		if err := c.Create(t.Context(), machine(nodeX, providerIDX)); err != nil {
			t.Fatal(err)
		}
	}
	tainted := node()
	setTaint(tainted, true)
	if err := w.cached.Update(t.Context(), tainted); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(grace)
	if _, err := w.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if n := w.node(t); n == nil || len(n.Spec.Taints) > 0 {
		t.Errorf("got Node %v, want it back without the taint", n)
	}
}

func TestANodeThatGoesByItselfIsForgotten(t *testing.T) {
	w := newWorld(t, []client.Object{node()})
	request := ctrl.Request{NamespacedName: client.ObjectKey{Name: nodeX}}
	if _, err := w.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	for _, c := range []client.Client{w.live, w.cached} {
		if err := c.Delete(t.Context(), node()); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Step(time.Second)
	if _, err := w.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if since := w.unwanted.At(nodeX, node().UID, w.clock.Now()); !since.Equal(w.clock.Now()) {
		t.Errorf("it is remembered since %s", since)
	}
}

func TestTheListKeepsTheLatestNames(t *testing.T) {
	names := make([]string, capacity)
	for i := range names {
		names[i] = fmt.Sprintf("workers-7f556-%d", i)
	}
	w := newWorld(t, []client.Object{fenced(names...)})
	list := List{Workload: w.Workload}
	for _, name := range []string{"late-7f556-0", "late-7f556-0", "late-7f556-1"} {
		if err := list.Add(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{names[0]: false, names[1]: false, names[2]: true, "late-7f556-0": true, "late-7f556-1": true} {
		if got, err := list.Has(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: got %v (%v), want %v", name, got, err, want)
		}
	}
}
