package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

const poolLabel = "fleet.drover.dev/pool"

func node(name, pool string, change ...func(*corev1.Node)) corev1.Node {
	n := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{poolLabel: pool}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(&n)
	}
	return n
}

func notReady(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
func cordoned(n *corev1.Node) { n.Spec.Unschedulable = true }
func dedicated(n *corev1.Node) {
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "dedicated", Effect: corev1.TaintEffectNoExecute})
}
func left(n *corev1.Node) {
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: elsewhere, Effect: corev1.TaintEffectNoSchedule})
}

func TestChoose(t *testing.T) {
	nodes := []corev1.Node{
		node("workers-a", "workers"), node("workers-b", "workers"), node("workers-c", "workers", notReady),
		node("servers-a", "servers"), node("servers-b", "servers", cordoned),
	}
	const none = " chooses none of the nodes that are Ready and not cordoned: workers-a, workers-b, servers-a"
	tests := map[string]struct {
		which   string
		want    []string
		wantErr string
	}{
		"ByName":      {which: "servers-a", want: []string{"servers-a"}},
		"ByLabel":     {which: poolLabel + "=workers", want: []string{"workers-a", "workers-b"}},
		"BySet":       {which: poolLabel + " in (workers, servers)", want: []string{"workers-a", "workers-b", "servers-a"}},
		"UnknownName": {which: "servers-z", wantErr: "NODE=servers-z" + none},
		"NoSuchLabel": {which: poolLabel + "=virtual", wantErr: "NODE=" + poolLabel + "=virtual" + none},
		"NotReady":    {which: "workers-c", wantErr: "NODE=workers-c" + none},
		"Cordoned":    {which: "servers-b", wantErr: "NODE=servers-b" + none},
		"Neither":     {which: "a==b==c", wantErr: "NODE=a==b==c is neither a node's name nor a selector of labels"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := choose(nodes, tc.which)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.HasPrefix(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want %q", err, tc.wantErr)
			}
		})
	}
}

// taints are the keys of each node's.
func taints(t *testing.T, client kubernetes.Interface) map[string][]string {
	t.Helper()
	list, err := client.CoreV1().Nodes().List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	for _, n := range list.Items {
		for _, taint := range n.Spec.Taints {
			keys[n.Name] = append(keys[n.Name], taint.Key)
		}
	}
	return keys
}

func newFleet(nodes ...corev1.Node) *fleet {
	client := fake.NewClientset(&corev1.NodeList{Items: nodes})
	return &fleet{client: client, nodes: nodes}
}

func TestAnInterruptedRunLeavesTheNodesAsTheyWere(t *testing.T) {
	f := newFleet(node("workers-a", "workers", dedicated), node("workers-b", "workers"), node("servers-a", "servers"))
	ctx, interrupt := context.WithCancel(t.Context())
	err := f.keepTo(ctx, []string{"servers-a"}, func(ctx context.Context) error {
		during := map[string][]string{"workers-a": {"dedicated", elsewhere}, "workers-b": {elsewhere}}
		if diff := cmp.Diff(during, taints(t, f.client)); diff != "" {
			t.Errorf("taints during the run (-want +got):\n%s", diff)
		}
		interrupt()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("keepTo = %v, want that it was interrupted", err)
	}
	if diff := cmp.Diff(map[string][]string{"workers-a": {"dedicated"}}, taints(t, f.client)); diff != "" {
		t.Errorf("taints after the run (-want +got):\n%s", diff)
	}
}

func TestWhatAKilledRunLeftGoes(t *testing.T) {
	f := newFleet(node("workers-a", "workers", left, dedicated), node("servers-a", "servers", left))
	err := f.keepTo(t.Context(), []string{"servers-a"}, func(context.Context) error {
		during := map[string][]string{"workers-a": {elsewhere, "dedicated"}}
		if diff := cmp.Diff(during, taints(t, f.client)); diff != "" {
			t.Errorf("taints during the run (-want +got):\n%s", diff)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string][]string{"workers-a": {"dedicated"}}, taints(t, f.client)); diff != "" {
		t.Errorf("taints after the run (-want +got):\n%s", diff)
	}
}
