package agent

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	fcache "k8s.io/client-go/tools/cache/testing"

	"github.com/drover-dev/drover/agent/network"
)

// watched is a nodeWatch over a fake API server, and what it said.
type watched struct {
	*nodeWatch
	source *fcache.FakeControllerSource

	mu    sync.Mutex
	said  map[string]int
	nodes []network.Node
}

func watchNodes(t *testing.T, known bool, patience time.Duration, first ...*corev1.Node) *watched {
	t.Helper()
	w := &watched{source: fcache.NewFakeControllerSource(), said: map[string]int{}}
	note := func(what string) func() {
		return func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.said[what]++
		}
	}
	w.nodeWatch = &nodeWatch{
		self: "a", known: known, patience: patience, registered: note("registered"), ready: func(time.Time) { note("ready")() }, lost: note("lost"),
		changed: func(n []network.Node) { w.mu.Lock(); w.nodes = n; w.mu.Unlock() },
	}
	for _, n := range first {
		w.source.Add(n)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.run(ctx, w.source); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return w
}

func (w *watched) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return ok(), nil
	})
	if err != nil {
		t.Fatalf("%s: never; it said %v", what, w.said)
	}
}

func node(name, address, cidr string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"big": "yes"}}}
	if cidr != "" {
		n.Spec.PodCIDR, n.Spec.PodCIDRs = cidr, []string{cidr}
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}}
	return n
}

func TestTheNetworkHearsOfAllNodes(t *testing.T) {
	w := watchNodes(t, false, time.Hour, node("b", "10.0.0.2", "10.244.1.0/24"), node("a", "10.0.0.1", ""))
	w.until(t, "both Nodes, sorted", func() bool {
		return len(w.nodes) == 2 && w.nodes[0].Name == "a" && w.nodes[1].PodCIDRs[0].String() == "10.244.1.0/24" && w.nodes[1].Addresses[0].String() == "10.0.0.2"
	})
	w.source.Modify(node("a", "10.0.0.1", "10.244.0.0/24"))
	w.until(t, "the own range", func() bool { return len(w.nodes[0].PodCIDRs) == 1 })
	w.source.Delete(node("b", "10.0.0.2", ""))
	w.until(t, "one Node left", func() bool { return len(w.nodes) == 1 })
}

func TestAClusterWithoutNodesIsHeardOf(t *testing.T) {
	w := watchNodes(t, false, time.Hour)
	w.until(t, "an empty list, so that stale routes go", func() bool { return w.nodes != nil })
}

func TestTheOwnNodesStepsAreNoticed(t *testing.T) {
	w := watchNodes(t, false, time.Hour, node("a", "10.0.0.1", ""))
	w.until(t, "registered", func() bool { return w.said["registered"] > 0 && w.said["ready"] == 0 })
	ready := node("a", "10.0.0.1", "")
	ready.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: "True"}, {Type: corev1.NodeReady, Status: "True"}}
	w.source.Modify(ready)
	w.until(t, "ready", func() bool { return w.said["ready"] > 0 })
}

func TestANodeDeletedByHandIsNoticed(t *testing.T) {
	w := watchNodes(t, false, time.Millisecond, node("a", "10.0.0.1", ""))
	w.until(t, "registered", func() bool { return w.said["registered"] > 0 })
	w.source.Delete(node("a", "10.0.0.1", ""))
	w.until(t, "lost", func() bool { return w.said["lost"] == 1 })
}

func TestANodeDeletedWhileNoAgentRanIsNoticed(t *testing.T) {
	w := watchNodes(t, true, time.Millisecond, node("b", "10.0.0.2", ""))
	w.until(t, "lost", func() bool { return w.said["lost"] == 1 })
}

func TestAMachineThatHasNotRegisteredYetHasLostNothing(t *testing.T) {
	w := watchNodes(t, false, time.Millisecond, node("b", "10.0.0.2", ""))
	w.until(t, "the list", func() bool { return len(w.nodes) == 1 })
	if w.said["lost"] != 0 {
		t.Error("a Node that never was cannot be lost")
	}
}

func TestANodeThatComesBackInTimeIsNotLost(t *testing.T) {
	w := watchNodes(t, false, time.Hour, node("a", "10.0.0.1", ""))
	w.until(t, "registered", func() bool { return w.said["registered"] == 1 })
	w.source.Delete(node("a", "10.0.0.1", ""))
	w.until(t, "gone", func() bool { return len(w.nodes) == 0 })
	w.source.Add(node("a", "10.0.0.1", ""))
	w.until(t, "registered again", func() bool { return w.said["registered"] == 2 })
	w.nodeWatch.mu.Lock()
	defer w.nodeWatch.mu.Unlock()
	if w.absent != nil {
		t.Error("the timer still runs")
	}
}

func TestTrimKeepsLittle(t *testing.T) {
	got, err := trim(node("a", "10.0.0.1", "10.244.0.0/24"))
	n, ok := got.(*corev1.Node)
	if err != nil || !ok || len(n.Labels) != 0 || len(n.Status.Addresses) != 1 || n.Spec.PodCIDR == "" {
		t.Errorf("got %v, %v", got, err)
	}
}
