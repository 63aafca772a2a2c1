package sim

import (
	"math/rand/v2"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var (
	editReplicas = upTo(7, edited("replicas", 8, func(w *world, e event) {
		w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To(int32(e.number)) }) //nolint:gosec // small
	}))
	editTemplate = withNumber(edited("another template", 9, func(w *world, e event) {
		next := templateOf(e.number)
		next.label, next.agent = w.user.template.label, w.user.template.agent
		w.ask(next)
	}), func(number int) string { return templateOf(number).String() })
	editBack   = edited("the template before", 3, func(w *world, _ event) { w.ask(w.user.before) })
	editLabels = edited("labels of the template", 1, func(w *world, e event) {
		next := w.user.template
		next.label = strconv.Itoa(e.number)
		w.ask(next)
	})
	editPause  = pausing("paused", true)
	editResume = pausing("not paused any more", false)
	deletePool = edited("deletes the pool", 1, func(w *world, _ event) { _ = w.api.remove(pools, poolName, nil) })

	deleteMachine = edited("deletes a machine", 3, func(w *world, e event) {
		if m := w.anyMachine(e.number); m != nil {
			_ = w.api.remove(machines, m.Name, nil)
		}
	})
	deleteFirst = edited("annotates a machine to go first", 1, func(w *world, e event) {
		if m := w.anyMachine(e.number); m != nil {
			edit(w.api, machines, m.Name, func(m *clusterv1.Machine) {
				metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.DeleteFirstAnnotation, "")
			})
		}
	})
)

var (
	leaveAlone = edited("annotates a machine to be left alone", 2, func(w *world, e event) {
		if m := w.anyMachine(e.number); m != nil {
			edit(w.api, machines, m.Name, func(m *clusterv1.Machine) {
				metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.DoNotDisruptAnnotation, "a batch")
			})
		}
	})
	leaveNoMore = edited("takes that annotation away", 1, func(w *world, e event) {
		if m := w.anyMachine(e.number); m != nil {
			w.disrupt(m.Name)
		}
	})
)

// disrupt lets a machine be disrupted again.
func (w *world) disrupt(name string) {
	if _, annotated := w.machine(name).Annotations[v1alpha1.DoNotDisruptAnnotation]; annotated {
		edit(w.api, machines, name, func(m *clusterv1.Machine) { delete(m.Annotations, v1alpha1.DoNotDisruptAnnotation) })
	}
}

// pausing is also done to a pool that is being deleted.
func pausing(name string, is bool) *happening {
	h := edited(name, 2, func(w *world, _ event) {
		w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(is) })
	})
	h.whileDeleted = true
	return h
}

// withNumber has an event's number mean something.
func withNumber(h *happening, tells func(int) string) *happening {
	h.tells = tells
	return h
}

// upTo has an event's number be one below another, and mean itself.
func upTo(below int, h *happening) *happening {
	h.draws = func(_ *rand.Rand, e *event) { e.number %= below }
	return withNumber(h, strconv.Itoa)
}

// user is who edits the pool.
type user struct {
	// template is what the pool asks for, and before what it asked for until the last edit. good is the last that works.
	template, before, good template
}

// createPool makes the pool, for the first time or anew.
func (w *world) createPool() {
	if w.pool() != nil {
		return
	}
	if w.user.template.fails() {
		w.user.template = templateOf(1)
	}
	w.user.before, w.user.good = w.user.template, w.user.template
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: poolName}}
	pool.Spec.Replicas = ptr.To(int32(1 + w.throw("replicas", "", w.api.version)%4)) //nolint:gosec // small
	w.user.template.write(pool)
	if err := w.api.create(pool); err != nil {
		panic(err)
	}
}

func (w *world) editPool(how func(*v1alpha1.NodePool)) { edit(w.api, pools, poolName, how) }

// ask sets the pool's template.
func (w *world) ask(next template) {
	if next == w.user.template {
		return
	}
	w.user.before, w.user.template = w.user.template, next
	if !next.fails() {
		w.user.good = next
	}
	w.editPool(next.write)
}
