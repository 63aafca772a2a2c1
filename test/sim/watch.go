package sim

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// watch knows what invariants are about. All that it knows it has from the API server's changes and from the machines themselves.
type watch struct {
	world *world
	// asked is what the pool asked for, and since when. The last is now.
	asked []asked
	uid   string
	// made are all names of Machines that ever were.
	made map[string]bool
	// serves are the nodes on which something proved itself and that took pods then. One that joins and is drained before that was
	// never available to anybody.
	serves map[string]bool
	// changing are the nodes that a manager has begun to change, and since when.
	changing map[string]time.Time
	// named is how many nodes might be unavailable when the pool's status began to name a machine as being changed.
	named map[string]int
	// namedAt is when that was.
	namedAt map[string]time.Time
	// excused are machines that nobody can know to be wanted no more, as what said so was lost, or a lease.
	excused map[string]bool
	// lost is when the pool's status was last lost.
	lost time.Time
	// drains are since when nodes are drained that a manager cordoned, and resumed is when the pool was last found not to be suspended
	// any more.
	drains  map[string]time.Time
	resumed time.Time
	// objects say what is wrong with a write, by the invariants.
	objects map[*invariant]func(deed) error
}

func newWatch(w *world) *watch {
	watch := &watch{
		world: w, made: map[string]bool{}, serves: map[string]bool{}, changing: map[string]time.Time{}, named: map[string]int{}, namedAt: map[string]time.Time{}, excused: map[string]bool{},
		drains:  map[string]time.Time{},
		objects: map[*invariant]func(deed) error{},
	}
	for _, one := range w.held {
		if one.watches != nil {
			watch.objects[one] = one.watches(watch)
		}
	}
	return watch
}

// see looks at a change. The writer is the manager that made it; nil for anybody else.
func (w *watch) see(c change, writer *manager) {
	if c.kind == pools {
		w.asks(as[*v1alpha1.NodePool](c.after))
		w.names(c, writer)
	}
	d := deed{change: c, verb: verbOf(c), by: writer, worked: w.serves[c.name()]}
	_, already := w.changing[c.name()]
	d.begins = d.disrupts() && !already && !w.leaves(c)
	for _, one := range w.world.held {
		if objects := w.objects[one]; objects != nil {
			if err := objects(d); err != nil {
				w.world.violate(one.name, "%v", err)
			}
		}
	}
	w.remember(d)
}

// verbOf is what a change does to the machine of its object's name.
func verbOf(c change) verb {
	switch c.kind {
	case machines:
		return machineVerb(c)
	case agents:
		if c.before != nil && c.after != nil && as[*v1alpha1.NodeAgent](c.before).Spec.Revision != as[*v1alpha1.NodeAgent](c.after).Spec.Revision {
			return tells
		}
	case nodes:
		if c.after == nil {
			return does
		}
		before := c.before != nil && as[*corev1.Node](c.before).Spec.Unschedulable
		switch after := as[*corev1.Node](c.after).Spec.Unschedulable; {
		case after && !before:
			return cordons
		case before && !after:
			return uncordons
		}
	}
	return does
}

func machineVerb(c change) verb {
	switch {
	case c.before == nil:
		return makes
	case c.before.GetDeletionTimestamp().IsZero() && (c.after == nil || !c.after.GetDeletionTimestamp().IsZero()):
		return deletes
	default:
		return does
	}
}

// remember keeps what later writes are held to.
func (w *watch) remember(d deed) {
	w.drainedSince(d)
	switch d.verb {
	case makes:
		w.made[d.name()] = true
	case tells:
		w.world.tally.Changes++
	}
	if w.isRepair(d) {
		w.world.tally.Repairs++
	}
	if d.kind == infra && d.before == nil && d.by != nil && (d.by.deposed || !w.lost.Before(d.by.begun)) {
		w.excused[d.name()] = true
	}
	if (d.verb == tells || d.verb == cordons) && d.disrupts() && !w.unknowable(d) {
		if len(w.others(d.name())) > 0 {
			w.world.tally.Together++
		}
		if d.begins {
			w.changing[d.name()] = w.world.now
		}
	}
	if d.kind == machines || d.kind == agents || d.kind == nodes {
		b, node := w.world.boxes[d.name()], w.world.node(d.name())
		w.serves[d.name()] = w.serves[d.name()] || b != nil && b.good != "" && node != nil && !node.Spec.Unschedulable
		w.ends(d.name())
	}
}

// names notes what the pool's status names as being changed.
func (w *watch) names(c change, writer *manager) {
	if c.after == nil {
		return
	}
	for _, name := range as[*v1alpha1.NodePool](c.after).Status.Updating {
		if c.before == nil || !slices.Contains(as[*v1alpha1.NodePool](c.before).Status.Updating, name) {
			w.namedAt[name] = w.world.now
			_, goesOn := w.changing[name] // it was named before, and somebody removed that
			if most := w.most(writer, asked.most); !goesOn || most > w.named[name] {
				w.named[name] = most
			}
		}
	}
}

// unknowable says that a change is begun by a request of a manager that lost its lease, which its successor cannot know of: it has
// found nothing to change there, and lets another one begin.
func (w *watch) unknowable(d deed) bool {
	pool := w.world.pool()
	return d.by != nil && d.by.deposed && (pool == nil || !slices.Contains(pool.Status.Updating, d.name()))
}

// others are the nodes that are being changed besides one.
func (w *watch) others(name string) []string {
	var others []string
	for other := range w.changing {
		if other != name {
			others = append(others, other)
		}
	}
	slices.Sort(others)
	return others
}

// leaves says that a machine was being deleted before a change.
func (w *watch) leaves(c change) bool {
	machine := w.world.machine(c.name())
	if c.kind == machines {
		machine = as[*clusterv1.Machine](c.before)
	}
	return machine != nil && !machine.DeletionTimestamp.IsZero()
}

// ends notes that a change is over.
func (w *watch) ends(name string) {
	since, is := w.changing[name]
	if !is {
		return
	}
	machine, agent, node, b := w.world.machine(name), w.world.agent(name), w.world.node(name), w.world.boxes[name]
	cordoned := node != nil && node.Spec.Unschedulable
	if machine == nil || !machine.DeletionTimestamp.IsZero() || agent == nil && !cordoned {
		delete(w.changing, name)
		return
	}
	if agent == nil {
		return
	}
	// What fell ill meanwhile is not unavailable by us, whatever it was before.
	well := available(machine) || b.struck.After(since) || b.ill.After(w.world.now) || b.silent.After(w.world.now)
	if settled(agent) && !cordoned && (well || agent.Status.Phase == v1alpha1.PhaseRolledBack) {
		delete(w.changing, name)
	}
}

func available(m *clusterv1.Machine) bool {
	return meta.IsStatusConditionTrue(m.Status.Conditions, clusterv1.MachineAvailableCondition)
}

// settled says that an agent has done what it was told, or has gone back from it, or from the version of itself that goes with it.
func settled(a *v1alpha1.NodeAgent) bool {
	return a.Status.ObservedGeneration == a.Generation && (a.Status.Phase == v1alpha1.PhaseCommitted && !agentDue(a) || a.Status.Phase == v1alpha1.PhaseRolledBack)
}

// statusIsLost notes that the pool's status is about to be: infrastructure machines that it was to make Machines for are nobody's then.
func (w *world) statusIsLost() {
	w.watch.lost = w.now
	for _, object := range w.api.tables[infra] {
		w.watch.excused[object.GetName()] = w.machine(object.GetName()) == nil
	}
}
