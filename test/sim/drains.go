package sim

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var editDrainTimeout = withNumber(edited("how long nodes are drained", 3, func(w *world, e event) {
	w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Disruption.DrainTimeoutSeconds = drainTimeoutOf(e.number) })
}), func(number int) string { return drainTimeoutName(drainTimeoutOf(number)) })

// editBlocked asks for what nodes are drained for while they cannot be.
var editBlocked = edited("the other minor version, which a budget is in the way of", 2, func(w *world, e event) {
	next := w.user.good
	next.version = versions[(slices.Index(versions, next.version)+1)%len(versions)]
	w.ask(next)
	lasts := w.between(2*time.Minute, 12*time.Minute, "budget", "", e.id)
	w.until[blockedDrain] = later(w.until[blockedDrain], w.now.Add(lasts))
})

// drainTimeouts are those that users think of, in seconds: 0 is none, as is to say nothing.
var drainTimeouts = []*int32{ptr.To[int32](30), ptr.To[int32](60), ptr.To[int32](300), ptr.To[int32](0), nil}

func drainTimeoutOf(number int) *int32 { return drainTimeouts[number%len(drainTimeouts)] }

func drainTimeoutName(seconds *int32) string {
	if ptr.Deref(seconds, 0) == 0 {
		return "as long as it takes"
	}
	return fmt.Sprintf("%d seconds", *seconds)
}

// drainTimeout is how long a node is drained at most; zero for as long as it takes.
func (a asked) drainTimeout() time.Duration {
	return time.Duration(ptr.Deref(a.spec.Disruption.DrainTimeoutSeconds, 0)) * time.Second
}

// gaveUp says that Cluster API does not drain a Machine's node any longer that is being deleted.
func (w *world) gaveUp(m *clusterv1.Machine) bool {
	most := time.Duration(ptr.Deref(m.Spec.Deletion.NodeDrainTimeoutSeconds, 0)) * time.Second
	return most > 0 && !w.now.Before(m.DeletionTimestamp.Add(most))
}

// drainedSince notes since when nodes are drained that a manager cordoned, and when one found last that its pool is not suspended any more.
func (w *watch) drainedSince(d deed) {
	switch d.kind {
	case pools:
		suspended := func(p *v1alpha1.NodePool) bool {
			return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.SuspendedCondition)
		}
		if d.by != nil && d.before != nil && d.after != nil && suspended(as[*v1alpha1.NodePool](d.before)) && !suspended(as[*v1alpha1.NodePool](d.after)) {
			w.resumed = d.by.begun
		}
	case nodes:
		since := func(n *corev1.Node) string { return n.Annotations[v1alpha1.CordonedAnnotation] }
		switch {
		case d.after == nil || since(as[*corev1.Node](d.after)) == "":
			delete(w.drains, d.name())
		case d.before == nil || since(as[*corev1.Node](d.before)) != since(as[*corev1.Node](d.after)):
			w.drains[d.name()] = w.world.now
		}
	}
}

// isForced says that a node's time to be drained was over, as the pool asked for at some time of a manager's round.
func (w *watch) isForced(name string, by *manager) bool {
	since, drained := w.drains[name]
	if w.resumed.After(since) && !w.lost.After(since) {
		since = w.resumed
	}
	const late = 5 * time.Second // a round takes a while, and what is noted has no parts of a second
	for _, a := range w.during(by) {
		if most := a.drainTimeout(); drained && most > 0 && w.world.now.Sub(since) >= most-late {
			return true
		}
	}
	return false
}

// isOverdue says that a node's time to be drained has been over for a while.
func (w *watch) isOverdue(name string) bool {
	since, drained := w.drains[name]
	most := w.last().drainTimeout()
	return drained && most > 0 && w.world.now.Sub(later(since, w.last().since)) > most+20*time.Second
}
