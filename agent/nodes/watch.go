package nodes

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

// Watch follows all Nodes for the pod network, and one of them, the own, for whoever waits for it.
type Watch struct {
	// Self is the own Node's name; empty on a machine that is none.
	Self string
	// Known says that the own Node was there when an earlier agent ran.
	Known bool
	// Changed hears of all Nodes, sorted by name, after each change of what the network needs. Changes that come while it
	// runs are told together.
	Changed func([]network.Node)
	// Registered is called when the own Node is there, and Ready, with the time its kubelet said so, when it is Ready.
	Registered func()
	Ready      func(time.Time)
	// Absent is called when the own Node is not there: when that is first known, and when it goes.
	Absent func()
	// Lost is called when the own Node was there and has been gone for a while.
	Lost func()
	// Patience is that while: a Node made anew in between is none lost.
	Patience time.Duration

	informer cache.SharedIndexInformer
	news     chan struct{} // the network has not heard of a change yet

	mu      sync.Mutex
	overdue *time.Timer // runs while the own Node is gone
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

// Run follows the Nodes until the context ends.
func (w *Watch) Run(ctx context.Context, nodes cache.ListerWatcher) error {
	w.informer = cache.NewSharedIndexInformer(nodes, &corev1.Node{}, 0, cache.Indexers{})
	if err := w.informer.SetTransform(trim); err != nil {
		return err
	}
	w.news = make(chan struct{}, 1)
	if _, err := w.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, first bool) {
			w.saw(obj)
			if !first { // the first list is told as a whole
				w.wake()
			}
		},
		UpdateFunc: func(before, obj any) {
			w.saw(obj)
			if !sameForNetwork(before, obj) {
				w.wake()
			}
		},
		DeleteFunc: func(obj any) { w.gone(obj); w.wake() },
	}); err != nil {
		return err
	}
	var telling sync.WaitGroup
	telling.Go(func() { w.tell(ctx) })
	w.informer.RunWithContext(ctx)
	telling.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.overdue != nil {
		w.overdue.Stop()
	}
	return nil
}

// wake has the network told of what changed.
func (w *Watch) wake() {
	select {
	case w.news <- struct{}{}:
	default: // that is due already
	}
}

func (w *Watch) saw(obj any) {
	node, ok := obj.(*corev1.Node)
	if !ok || node.Name != w.Self {
		return
	}
	w.mu.Lock()
	if w.overdue != nil {
		w.overdue.Stop()
		w.overdue = nil
	}
	w.mu.Unlock()
	w.Registered()
	for _, c := range node.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			w.Ready(c.LastHeartbeatTime.Time)
		}
	}
}

func (w *Watch) gone(obj any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err != nil || key != w.Self {
		return
	}
	w.Absent()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.overdue == nil {
		w.overdue = time.AfterFunc(w.Patience, w.Lost)
	}
}

// tell tells of all Nodes once the first list is complete, and then after changes; before, routes to the others would be
// taken for stale.
func (w *Watch) tell(ctx context.Context) {
	select {
	case <-w.informer.HasSyncedChecker().Done():
	case <-ctx.Done():
		return
	}
	w.noticeAbsence()
	for {
		w.Changed(list(w.informer.GetStore().List()))
		select {
		case <-w.news:
		case <-ctx.Done():
			return
		}
	}
}

// noticeAbsence is called once, when the first list is complete: it notices a Node that is not there yet, or was deleted
// while no agent ran.
func (w *Watch) noticeAbsence() {
	_, there, err := w.informer.GetStore().GetByKey(w.Self)
	switch {
	case err != nil || there:
	case w.Known:
		w.gone(cache.ExplicitKey(w.Self))
	default:
		w.Absent()
	}
}

// sameForNetwork is true for a Node of which nothing that convert reads has changed. A Node's status is written every five
// minutes at least, so that in a big cluster hardly any event is news.
func sameForNetwork(before, after any) bool {
	a, _ := before.(*corev1.Node)
	b, _ := after.(*corev1.Node)
	return a != nil && b != nil && slices.Equal(a.Status.Addresses, b.Status.Addresses) &&
		a.Spec.PodCIDR == b.Spec.PodCIDR && slices.Equal(a.Spec.PodCIDRs, b.Spec.PodCIDRs)
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
