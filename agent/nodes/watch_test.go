package nodes

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	fcache "k8s.io/client-go/tools/cache/testing"

	"github.com/drover-dev/drover/agent/network"
)

// watched is a Watch over a fake API server, and what it said.
type watched struct {
	*Watch
	source *fcache.FakeControllerSource

	busy sync.Mutex // held to keep the network busy with the Nodes that it was told

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
	w.Watch = &Watch{
		Self: "a", Known: known, Patience: patience, Registered: note("registered"), Ready: func(time.Time) { note("ready")() }, Absent: note("absent"), Lost: note("lost"),
		Changed: func(n []network.Node) {
			note("changed")()
			w.busy.Lock()
			defer w.busy.Unlock()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.nodes = n
		},
	}
	for _, n := range first {
		w.source.Add(n)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx, w.source); err != nil {
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

func aNode(name, address, cidr string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"big": "yes"}}}
	if cidr != "" {
		n.Spec.PodCIDR, n.Spec.PodCIDRs = cidr, []string{cidr}
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}}
	return n
}

func TestTheNetworkHearsOfAllNodes(t *testing.T) {
	w := watchNodes(t, false, time.Hour, aNode("b", "10.0.0.2", "10.244.1.0/24"), aNode("a", "10.0.0.1", ""))
	w.until(t, "both Nodes, sorted", func() bool {
		return len(w.nodes) == 2 && w.nodes[0].Name == "a" && w.nodes[1].PodCIDRs[0].String() == "10.244.1.0/24" && w.nodes[1].Addresses[0].String() == "10.0.0.2"
	})
	w.source.Modify(aNode("a", "10.0.0.1", "10.244.0.0/24"))
	w.until(t, "the own range", func() bool { return len(w.nodes[0].PodCIDRs) == 1 })
	w.source.Delete(aNode("b", "10.0.0.2", ""))
	w.until(t, "one Node left", func() bool { return len(w.nodes) == 1 })
}

func TestAnOwnNodeThatIsNotThereIsToldOf(t *testing.T) {
	w := watchNodes(t, false, time.Hour, aNode("b", "10.0.0.2", "10.244.1.0/24"))
	w.until(t, "it was never there", func() bool { return w.said["absent"] == 1 })
	w.source.Add(aNode("a", "10.0.0.1", ""))
	w.until(t, "it registered", func() bool { return w.said["registered"] == 1 })
	w.source.Delete(aNode("a", "10.0.0.1", ""))
	w.until(t, "it is gone", func() bool { return w.said["absent"] == 2 })
}

// heartbeat is what the kubelet of node a writes; after it was seen, so was whatever happened before.
func heartbeat(t *testing.T, w *watched) {
	t.Helper()
	n := aNode("a", "10.0.0.1", "10.244.0.0/24")
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: "True"}}
	w.mu.Lock()
	seen := w.said["ready"]
	w.mu.Unlock()
	w.source.Modify(n)
	w.until(t, "the heartbeat", func() bool { return w.said["ready"] > seen })
}

func others(from, to int) []*corev1.Node {
	var nodes []*corev1.Node
	for i := from; i < to; i++ {
		nodes = append(nodes, aNode(fmt.Sprintf("n%d", i), fmt.Sprintf("10.0.%d.%d", i>>8, i&255), fmt.Sprintf("10.%d.%d.0/24", 100+i>>8, i&255)))
	}
	return nodes
}

func TestTheNetworkHearsOnlyOfWhatItNeeds(t *testing.T) {
	w := watchNodes(t, false, time.Hour, append(others(0, 300), aNode("a", "10.0.0.1", "10.244.0.0/24"))...)
	w.until(t, "the first list", func() bool { return len(w.nodes) == 301 })
	for range 20 {
		heartbeat(t, w)
	}
	w.until(t, "one word of the first list and none of heartbeats", func() bool { return w.said["changed"] == 1 })
	w.busy.Lock()
	for _, n := range others(300, 600) {
		w.source.Add(n)
	}
	heartbeat(t, w)
	w.busy.Unlock()
	w.until(t, "all that came", func() bool { return len(w.nodes) == 601 })
	if w.mu.Lock(); w.said["changed"] > 3 {
		t.Errorf("while the network was busy 300 Nodes came, of which it was told in %d parts", w.said["changed"]-1)
	}
	w.mu.Unlock()
}

func TestWhatIsNewsForTheNetwork(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		news   bool
	}{
		"a heartbeat": {func(n *corev1.Node) {
			n.ResourceVersion = "2"
			n.Status.Conditions = []corev1.NodeCondition{{Type: "Ready"}}
		}, false},
		"an address":        {func(n *corev1.Node) { n.Status.Addresses[1].Address = "10.0.0.9" }, true},
		"one address less":  {func(n *corev1.Node) { n.Status.Addresses = n.Status.Addresses[:1] }, true},
		"a range":           {func(n *corev1.Node) { n.Spec.PodCIDRs = []string{"10.244.0.0/24", "fd00::/64"} }, true},
		"a range of an old": {func(n *corev1.Node) { n.Spec.PodCIDR = "10.244.7.0/24" }, true},
	} {
		before := aNode("b", "10.0.0.2", "10.244.0.0/24")
		after := before.DeepCopy()
		c.change(after)
		if sameForNetwork(before, after) == c.news {
			t.Errorf("%s: news is %v, want %v", name, !c.news, c.news)
		}
	}
}

func TestAClusterWithoutNodesIsHeardOf(t *testing.T) {
	w := watchNodes(t, false, time.Hour)
	w.until(t, "an empty list, so that stale routes go", func() bool { return w.nodes != nil })
}

func TestTheOwnNodesStepsAreNoticed(t *testing.T) {
	w := watchNodes(t, false, time.Hour, aNode("a", "10.0.0.1", ""))
	w.until(t, "registered", func() bool { return w.said["registered"] > 0 && w.said["ready"] == 0 })
	ready := aNode("a", "10.0.0.1", "")
	ready.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: "True"}, {Type: corev1.NodeReady, Status: "True"}}
	w.source.Modify(ready)
	w.until(t, "ready", func() bool { return w.said["ready"] > 0 })
}

func TestANodeDeletedByHandIsNoticed(t *testing.T) {
	w := watchNodes(t, false, time.Millisecond, aNode("a", "10.0.0.1", ""))
	w.until(t, "registered", func() bool { return w.said["registered"] > 0 })
	w.source.Delete(aNode("a", "10.0.0.1", ""))
	w.until(t, "lost", func() bool { return w.said["lost"] == 1 })
}

func TestANodeDeletedWhileNoAgentRanIsNoticed(t *testing.T) {
	w := watchNodes(t, true, time.Millisecond, aNode("b", "10.0.0.2", ""))
	w.until(t, "lost", func() bool { return w.said["lost"] == 1 })
}

func TestAMachineThatHasNotRegisteredYetHasLostNothing(t *testing.T) {
	w := watchNodes(t, false, time.Millisecond, aNode("b", "10.0.0.2", ""))
	w.until(t, "the list", func() bool { return len(w.nodes) == 1 })
	if w.said["lost"] != 0 {
		t.Error("a Node that never was cannot be lost")
	}
}

func TestANodeThatComesBackInTimeIsNotLost(t *testing.T) {
	w := watchNodes(t, false, time.Hour, aNode("a", "10.0.0.1", ""))
	w.until(t, "registered", func() bool { return w.said["registered"] == 1 })
	w.source.Delete(aNode("a", "10.0.0.1", ""))
	w.until(t, "gone", func() bool { return len(w.nodes) == 0 })
	w.source.Add(aNode("a", "10.0.0.1", ""))
	w.until(t, "registered again", func() bool { return w.said["registered"] == 2 })
	w.Watch.mu.Lock()
	defer w.Watch.mu.Unlock()
	if w.overdue != nil {
		t.Error("the timer still runs")
	}
}

func TestTrimKeepsLittle(t *testing.T) {
	got, err := trim(aNode("a", "10.0.0.1", "10.244.0.0/24"))
	n, ok := got.(*corev1.Node)
	if err != nil || !ok || len(n.Labels) != 0 || len(n.Status.Addresses) != 1 || n.Spec.PodCIDR == "" {
		t.Errorf("got %v, %v", got, err)
	}
}
