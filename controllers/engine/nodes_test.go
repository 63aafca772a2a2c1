package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	v1beta1conditions "sigs.k8s.io/cluster-api/util/conditions/deprecated/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	nodes "github.com/drover-dev/drover/controllers/node"
	"github.com/drover-dev/drover/controllers/sides"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

// awaited is a Machine whose Node the Machine reconciler of the pinned Cluster API has looked for in vain.
type awaited struct {
	server  *apiserver.Server
	pool    *v1alpha1.NodePool
	machine *clusterv1.Machine
	// lists are how often its manager has listed all Nodes, and patches how often it has patched one.
	lists, patches atomic.Int64
}

func newAwaited(t *testing.T) *awaited {
	t.Helper()
	a := &awaited{server: apiserver.Shared(t), machine: &clusterv1.Machine{}}
	namespace := a.server.Namespace(t)
	startEngineWith(t, a.server, rest.CopyConfig(a.server.Config), a.counting)
	a.pool = newPool(t, a.server.Client, namespace)
	name := namespace + "-waits"
	createMachine(t, a.server.Client, getCluster(t, a.server.Client, namespace), a.pool, name)
	if err := a.server.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, a.machine); err != nil {
		t.Fatal(err)
	}
	before := a.machine.DeepCopy()
	a.machine.Spec.ProviderID = simulated.ProviderIDPrefix + name
	if err := a.server.Client.Patch(t.Context(), a.machine, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	a.eventually(t, "Cluster API to look for the Node in vain", func() string {
		if reason := v1beta1conditions.GetReason(a.machine, clusterv1.MachineNodeHealthyV1Beta1Condition); reason != clusterv1.NodeProvisioningV1Beta1Reason {
			return fmt.Sprintf("the condition's reason is %q", reason)
		}
		return ""
	})
	return a
}

// counting makes a manager's client that counts.
func (a *awaited) counting(config *rest.Config, options client.Options) (client.Client, error) {
	real, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, err
	}
	return interceptor.NewClient(real, interceptor.Funcs{
		List: func(ctx context.Context, real client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, ok := list.(*corev1.NodeList); ok && len(opts) == 0 {
				a.lists.Add(1)
			}
			return real.List(ctx, list, opts...)
		},
		Patch: func(ctx context.Context, real client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if _, ok := object.(*corev1.Node); ok {
				a.patches.Add(1)
			}
			return real.Patch(ctx, object, patch, opts...)
		},
	}), nil
}

// eventually polls the Machine.
func (a *awaited) eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) string {
		if err := a.server.Client.Get(ctx, client.ObjectKeyFromObject(a.machine), a.machine); err != nil {
			return err.Error()
		}
		return check()
	})
}

// isFound waits for Cluster API to find the Node and be done with it.
func (a *awaited) isFound(t *testing.T) {
	t.Helper()
	a.eventually(t, "Cluster API to find the Node", func() string {
		if got := a.machine.Status.NodeRef.Name; got != a.machine.Name {
			return fmt.Sprintf("the Machine's Node is %q", got)
		}
		return ""
	})
}

func TestANodeIsFoundWithoutAListOfAllNodes(t *testing.T) {
	a := newAwaited(t)
	node := nodeNamed(a.machine.Name)
	node.Spec.ProviderID = a.machine.Spec.ProviderID
	if err := a.server.Client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	a.isFound(t)
	if n := a.lists.Load(); n > 0 {
		t.Errorf("all Nodes were listed %d times: package engine answers that for the cache's index", n)
	}
	if a.patches.Load() == 0 {
		t.Error("the Node was not written to: nor would a test find that it need not be")
	}
}

// TestAMarkedNodeHasWhatClusterAPIPutsThere, in the pinned version's own words.
func TestAMarkedNodeHasWhatClusterAPIPutsThere(t *testing.T) {
	a := newAwaited(t)
	node := nodeNamed(a.machine.Name)
	if err := a.server.Client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	side := sides.Side{Client: a.server.Client, Live: a.server.Client}
	marked, err := (&nodes.Marks{}).Put(t.Context(), side, side, nodes.Target{Machine: a.machine, Pool: a.pool, Node: node})
	if err != nil {
		t.Fatal(err)
	}
	named := marked.Node.DeepCopy()
	named.Spec.ProviderID = a.machine.Spec.ProviderID // From now on Cluster API finds it.
	if err := a.server.Client.Patch(t.Context(), named, client.MergeFrom(marked.Node)); err != nil {
		t.Fatal(err)
	}
	a.isFound(t)
	if n := a.patches.Load(); n > 0 {
		live := nodeNamed(node.Name)
		if err := a.server.Client.Get(t.Context(), client.ObjectKeyFromObject(live), live); err != nil {
			t.Fatal(err)
		}
		t.Errorf("Cluster API wrote to the Node %d times (-marked +now):\n%s", n, cmp.Diff(named.ObjectMeta, live.ObjectMeta))
	}
}

// TestOnlyTheListOfAllIndexedNodesIsEmpty: what Cluster API asks for otherwise it gets.
func TestOnlyTheListOfAllIndexedNodesIsEmpty(t *testing.T) {
	real := interceptor.NewClient(nil, interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
		if nodes, ok := list.(*corev1.NodeList); ok {
			nodes.Items = []corev1.Node{*nodeNamed("a")}
		}
		return nil
	}})
	for _, c := range []struct {
		reason  string
		indexed bool
		options []client.ListOption
		want    int
	}{
		{"all Nodes, from the cache", true, nil, 0},
		{"all Nodes, from the API server, which has no such index", false, nil, 1},
		{"the Nodes of a provider ID", true, []client.ListOption{client.MatchingFields{"spec.providerID": "x"}}, 1},
	} {
		list := &corev1.NodeList{Items: []corev1.Node{*nodeNamed("b"), *nodeNamed("c")}}
		if err := (&nodeClient{Client: real, indexed: c.indexed}).List(t.Context(), list, c.options...); err != nil || len(list.Items) != c.want {
			t.Errorf("%s: got %d Nodes, %v, want %d", c.reason, len(list.Items), err, c.want)
		}
	}
}
