package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/drover-dev/drover/agent/network"
)

// nodeWatch follows all Nodes for the pod network and the node's own for the boot timeline.
type nodeWatch struct {
	self string
	// known says that the Node was there when an earlier agent ran.
	known bool
	// changed hears of all Nodes, sorted by name, after each change of what the network needs.
	changed func([]network.Node)
	// registered is called when the own Node is there, and ready, with the time its kubelet said so, when it is Ready.
	registered func()
	ready      func(time.Time)
	// lost is called when the own Node was there and has been gone for a while.
	lost func()
	// patience is that while: a Node made anew in between is none lost.
	patience time.Duration

	mu       sync.Mutex
	absent   *time.Timer
	informer cache.SharedIndexInformer
}

// trim keeps of a Node only what is needed, which for a big cluster is a hundredth of it.
func trim(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	small := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion},
		Spec:       corev1.NodeSpec{PodCIDR: n.Spec.PodCIDR, PodCIDRs: n.Spec.PodCIDRs},
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			small.Status.Addresses = append(small.Status.Addresses, a)
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			small.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status, LastHeartbeatTime: c.LastHeartbeatTime}}
		}
	}
	return small, nil
}

// run follows the Nodes until the context ends.
func (w *nodeWatch) run(ctx context.Context, nodes cache.ListerWatcher) error {
	w.informer = cache.NewSharedIndexInformer(nodes, &corev1.Node{}, 0, cache.Indexers{})
	if err := w.informer.SetTransform(trim); err != nil {
		return err
	}
	if _, err := w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { w.saw(obj); w.publish() },
		UpdateFunc: func(_, obj any) { w.saw(obj); w.publish() },
		DeleteFunc: func(obj any) { w.gone(obj); w.publish() },
	}); err != nil {
		return err
	}
	go func() {
		select {
		case <-w.informer.HasSyncedChecker().Done():
			w.synced()
		case <-ctx.Done():
		}
	}()
	w.informer.RunWithContext(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.absent != nil {
		w.absent.Stop()
	}
	return nil
}

func (w *nodeWatch) saw(obj any) {
	node, ok := obj.(*corev1.Node)
	if !ok || node.Name != w.self {
		return
	}
	w.mu.Lock()
	if w.absent != nil {
		w.absent.Stop()
		w.absent = nil
	}
	w.mu.Unlock()
	w.registered()
	for _, c := range node.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			w.ready(c.LastHeartbeatTime.Time)
		}
	}
}

func (w *nodeWatch) gone(obj any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err != nil || key != w.self {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.absent == nil {
		w.absent = time.AfterFunc(w.patience, w.lost)
	}
}

// publish tells of all Nodes once the first list is complete; before, routes to the others would be taken for stale.
func (w *nodeWatch) publish() {
	if w.informer.HasSynced() {
		w.changed(list(w.informer.GetStore().List()))
	}
}

// synced is called once, when the first list is complete: a Node that was deleted while no agent ran is noticed here.
func (w *nodeWatch) synced() {
	w.publish()
	if _, there, err := w.informer.GetStore().GetByKey(w.self); err == nil && !there && w.known {
		w.gone(cache.ExplicitKey(w.self))
	}
}

func list(objs []any) []network.Node {
	nodes := make([]network.Node, 0, len(objs))
	for _, obj := range objs {
		if n, ok := obj.(*corev1.Node); ok {
			nodes = append(nodes, convert(n))
		}
	}
	slices.SortFunc(nodes, func(a, b network.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

func convert(n *corev1.Node) network.Node {
	out := network.Node{Name: n.Name}
	for _, a := range n.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil {
			out.Addresses = append(out.Addresses, addr)
		}
	}
	cidrs := n.Spec.PodCIDRs
	if len(cidrs) == 0 && n.Spec.PodCIDR != "" {
		cidrs = []string{n.Spec.PodCIDR}
	}
	for _, c := range cidrs {
		if prefix, err := netip.ParsePrefix(c); err == nil {
			out.PodCIDRs = append(out.PodCIDRs, prefix.Masked())
		}
	}
	return out
}
