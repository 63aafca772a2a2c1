package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	v1beta1conditions "sigs.k8s.io/cluster-api/util/conditions/deprecated/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

// TestANodeIsFoundWithoutAListOfAllNodes, by the Machine reconciler of the pinned Cluster API: before it is there and after.
func TestANodeIsFoundWithoutAListOfAllNodes(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	var lists atomic.Int64
	startEngineWith(t, server, rest.CopyConfig(server.Config), func(config *rest.Config, options client.Options) (client.Client, error) {
		real, err := client.NewWithWatch(config, options)
		if err != nil {
			return nil, err
		}
		return interceptor.NewClient(real, interceptor.Funcs{List: func(ctx context.Context, real client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, ok := list.(*corev1.NodeList); ok && len(opts) == 0 {
				lists.Add(1)
			}
			return real.List(ctx, list, opts...)
		}}), nil
	})

	pool := newPool(t, server.Client, namespace)
	name := namespace + "-waits"
	createMachine(t, server.Client, getCluster(t, server.Client, namespace), pool, name)
	machine := &clusterv1.Machine{}
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if err := server.Client.Get(t.Context(), key, machine); err != nil {
		t.Fatal(err)
	}
	before := machine.DeepCopy()
	machine.Spec.ProviderID = simulated.ProviderIDPrefix + name
	if err := server.Client.Patch(t.Context(), machine, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Cluster API to look for the Node in vain", func(ctx context.Context) string {
		if err := server.Client.Get(ctx, key, machine); err != nil {
			return err.Error()
		}
		if reason := v1beta1conditions.GetReason(machine, clusterv1.MachineNodeHealthyV1Beta1Condition); reason != clusterv1.NodeProvisioningV1Beta1Reason {
			return fmt.Sprintf("the condition's reason is %q", reason)
		}
		return ""
	})
	node := nodeNamed(name)
	node.Spec.ProviderID = machine.Spec.ProviderID
	if err := server.Client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Cluster API to find the Node", func(ctx context.Context) string {
		if err := server.Client.Get(ctx, key, machine); err != nil {
			return err.Error()
		}
		if machine.Status.NodeRef.Name != name {
			return fmt.Sprintf("the Machine's Node is %q", machine.Status.NodeRef.Name)
		}
		return ""
	})
	if n := lists.Load(); n > 0 {
		t.Errorf("all Nodes were listed %d times: package engine answers that for the cache's index", n)
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
		nodes := &corev1.NodeList{Items: []corev1.Node{*nodeNamed("b"), *nodeNamed("c")}}
		if err := (&nodeClient{Client: real, indexed: c.indexed}).List(t.Context(), nodes, c.options...); err != nil || len(nodes.Items) != c.want {
			t.Errorf("%s: got %d Nodes, %v, want %d", c.reason, len(nodes.Items), err, c.want)
		}
	}
}
