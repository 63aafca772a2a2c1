package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// The invariants, which each write is held to, and what must be so once all faults are over.
const (
	// MaxUnavailable: of the nodes that are there, no more are changed at a time than may be unavailable, by default one. The change of a
	// node begins when it is cordoned for it or its NodeAgent written, and is over when its agent has settled, it is not cordoned, and
	// its Machine is Available.
	MaxUnavailable = "max-unavailable"
	// NoSecondMachine: a machine is made only where there are fewer than the pool asks for.
	NoSecondMachine = "no-second-machine"
	// NameOnce: no name is used twice.
	NameOnce = "name-once"
	// NoneForADeletedPool: a pool that is being deleted makes no machine, and changes none.
	NoneForADeletedPool = "none-for-a-deleted-pool"
	// PausedChangesNothing: a paused pool makes, changes, drains and deletes no machine.
	PausedChangesNothing = "paused-changes-nothing"
	// OneForABadRevision: a revision that a node went back from is given to no other node.
	OneForABadRevision = "one-for-a-bad-revision"
	// OnlyTheTemplateRolls: a node is changed only to what the pool's template says, and only when that is another thing than it was
	// told before.
	OnlyTheTemplateRolls = "only-the-template-rolls"
	// NoneWithoutNeed: a machine is deleted only where there are more than the pool asks for.
	NoneWithoutNeed = "none-deleted-without-need"
	// DrainedFirst: a node is changed in a way that its pods do not survive only when it is empty.
	DrainedFirst = "drained-first"
	// RevisionKept: what a machine is to run is kept for as long as it is to.
	RevisionKept = "revision-kept"
	// BecomesItsSpec: once all faults are over, a pool becomes what its spec says within Bound.
	BecomesItsSpec = "becomes-its-spec"
	// StatusSaysSo: then its status says so.
	StatusSaysSo = "status-says-so"
	// NothingLeft: then nothing is left of what is gone.
	NothingLeft = "nothing-left"
)

// watch knows what must not happen. All that it knows it has from the API server's changes.
type watch struct {
	world *world
	// made are all names of Machines that ever were.
	made map[string]bool
	// changing are the nodes that a manager has begun to change.
	changing map[string]time.Time
	// named is how many nodes might be unavailable when the pool's status began to name a machine as being changed.
	named map[string]int
	// excused are machines that nobody can know to be wanted no more, as what said so was lost, or a lease.
	excused map[string]bool
	// lost is when the pool's status was last lost.
	lost time.Time
	// asked is what the pool asked for, and since when. The last is now.
	asked []asked
	uid   string
}

// asked is what a pool asked for from a moment on.
type asked struct {
	since           time.Time
	replicas        int
	most            int // nodes that may be unavailable
	paused, deleted bool
	version         string
	settings        v1alpha1.NodeSettings
}

func newWatch(w *world) watch {
	return watch{world: w, made: map[string]bool{}, changing: map[string]time.Time{}, named: map[string]int{}, excused: map[string]bool{}}
}

// see looks at a change. The writer is the manager that made it; nil for anybody else.
func (w *watch) see(c change, writer *manager) {
	switch c.kind {
	case pools:
		w.poolChanged(c, writer)
	case machines:
		w.machineChanged(c, writer)
	case agents:
		if before, after := as[*v1alpha1.NodeAgent](c.before), as[*v1alpha1.NodeAgent](c.after); writer != nil && c.before != nil && c.after != nil && before.Spec.Revision != after.Spec.Revision {
			w.told(before, after, writer)
		}
	case infra:
		if c.before == nil && writer != nil && (writer.deposed || !w.lost.Before(writer.begun)) {
			w.excused[c.name()] = true
		}
	case nodes:
		if c.after != nil && writer != nil && as[*corev1.Node](c.after).Spec.Unschedulable && (c.before == nil || !as[*corev1.Node](c.before).Spec.Unschedulable) && w.worked(c.name()) {
			w.begins(c.name(), "cordoned", writer)
		}
	}
	if c.kind == machines || c.kind == agents || c.kind == nodes {
		w.ends(c.name())
	}
}

func (w *watch) poolChanged(c change, writer *manager) {
	if c.after == nil {
		w.asked[len(w.asked)-1].deleted = true
		return
	}
	pool := as[*v1alpha1.NodePool](c.after)
	if w.uid != string(pool.UID) {
		w.uid, w.asked = string(pool.UID), nil
	}
	spec := pool.Spec.Template.Spec
	w.asked = append(w.asked, asked{
		since: w.world.now, replicas: int(ptr.Deref(pool.Spec.Replicas, 1)), most: mayMiss(pool), paused: ptr.Deref(pool.Spec.Paused, false), deleted: !pool.DeletionTimestamp.IsZero(),
		version: spec.Version, settings: spec.NodeSettings,
	})
	for _, name := range pool.Status.Updating {
		if c.before == nil || !slices.Contains(as[*v1alpha1.NodePool](c.before).Status.Updating, name) {
			w.named[name] = w.most(writer)
		}
	}
}

// mayMiss is how many nodes of a pool may be unavailable: a percentage is of its replicas, rounded down, and at least one.
func mayMiss(pool *v1alpha1.NodePool) int {
	most := pool.Spec.Rollout.MaxUnavailable
	switch {
	case most == nil:
		return 1
	case most.Type == intstr.Int:
		return most.IntValue()
	default:
		percent, _ := strconv.Atoi(strings.TrimSuffix(most.StrVal, "%"))
		return max(1, percent*int(ptr.Deref(pool.Spec.Replicas, 1))/100)
	}
}

// most is how many nodes might be unavailable at any time of a manager's present round.
func (w *watch) most(m *manager) int {
	if m == nil {
		return w.asked[len(w.asked)-1].most
	}
	most := 1
	for _, a := range w.during(m) {
		most = max(most, a.most)
	}
	return most
}

// during is what the pool asked for at some time of a manager's present round: the user may edit it in the midst of one.
func (w *watch) during(m *manager) []asked {
	first := 0
	for i, a := range w.asked {
		if !a.since.After(m.begun) {
			first = i
		}
	}
	return w.asked[first:]
}

// always says that something was so in all of a manager's present round.
func (w *watch) always(m *manager, is func(asked) bool) bool {
	return !slices.ContainsFunc(w.during(m), func(a asked) bool { return !is(a) })
}

func (w *watch) machineChanged(c change, writer *manager) {
	name := c.name()
	if c.before == nil {
		if w.made[name] {
			w.world.violate(NameOnce, "Machine %s is made, and there was one of that name before", name)
		}
		w.made[name] = true
	}
	if writer == nil {
		return
	}
	switch {
	case c.before == nil:
		w.machineMade(as[*clusterv1.Machine](c.after), writer)
	case c.before.GetDeletionTimestamp().IsZero() && (c.after == nil || !c.after.GetDeletionTimestamp().IsZero()):
		w.machineDeleted(name, writer)
	}
}

func (w *watch) machineMade(m *clusterv1.Machine, writer *manager) {
	w.mayChange(m.Name, "made", writer)
	if m.Labels[v1alpha1.PoolUIDLabel] != w.uid || w.always(writer, func(a asked) bool { return a.deleted }) {
		w.world.violate(NoneForADeletedPool, "Machine %s is made for a pool that is being deleted or gone", m.Name)
	}
	most := 0
	for _, a := range w.during(writer) {
		most = max(most, a.replicas)
	}
	if writer.deposed && !w.reserved(m) {
		w.excused[m.Name] = true
		return
	}
	if there := len(w.world.machines()); there > most {
		w.world.violate(NoSecondMachine, "Machine %s is made, so there are %d, and the pool asks for %d", m.Name, there, most)
	}
}

// reserved says that a machine's ordinal is, by the pool's status as it is now. A manager that lost its lease may have a request on
// its way that makes a machine which its successor has given up: the API server knows of no lock that would refuse it.
func (w *watch) reserved(m *clusterv1.Machine) bool {
	pool := w.world.pool()
	ordinal, err := strconv.ParseInt(m.Labels[v1alpha1.OrdinalLabel], 10, 64)
	if pool == nil || pool.Status.Reserved == nil || err != nil {
		return false
	}
	first := *pool.Status.Reserved.First
	return ordinal >= first && ordinal < first+int64(pool.Status.Reserved.Count)
}

func (w *watch) machineDeleted(name string, writer *manager) {
	if w.always(writer, func(a asked) bool { return a.paused }) {
		w.world.violate(PausedChangesNothing, "Machine %s is deleted while the pool is paused", name)
	}
	least, deleted := w.asked[0].replicas, false
	for i, a := range w.during(writer) {
		if i == 0 || a.replicas < least {
			least = a.replicas
		}
		deleted = deleted || a.deleted
	}
	if there := len(w.world.machines()) + 1; !deleted && there <= least {
		w.world.violate(NoneWithoutNeed, "Machine %s is deleted, where there were %d and the pool asks for %d", name, there, least)
	}
}

// mayChange holds a change of a machine to what is true of every one.
func (w *watch) mayChange(name, how string, writer *manager) {
	if w.always(writer, func(a asked) bool { return a.paused }) {
		w.world.violate(PausedChangesNothing, "Machine %s is %s while the pool is paused", name, how)
	}
}

// told looks at a node that is told to run another revision.
func (w *watch) told(before, after *v1alpha1.NodeAgent, writer *manager) {
	w.world.tally.Changes++
	name := after.Name
	if equality.Semantic.DeepEqual(content(before), content(after)) {
		w.world.violate(OnlyTheTemplateRolls, "%s is told to run revision %s, which asks for what it was told before", name, after.Spec.Revision)
	}
	if w.always(writer, func(a asked) bool {
		return a.version != after.Spec.Version || !equality.Semantic.DeepEqual(a.settings, after.Spec.NodeSettings)
	}) {
		w.world.violate(OnlyTheTemplateRolls, "%s is told to run %s, which is not what the pool's template says", name, content(after))
	}
	if !w.worked(name) {
		w.mayChange(name, "changed", writer)
		return
	}
	w.begins(name, "told to run revision "+after.Spec.Revision, writer)
	for _, other := range w.world.machines() {
		agent := w.world.agent(other.Name)
		if other.Name == name || agent == nil || agent.Status.Phase != v1alpha1.PhaseRolledBack || agent.Status.FailedRevision == nil {
			continue
		}
		// Where several are told in one round, one may be back before the next is written.
		if agent.Status.FailedRevision.Revision == after.Spec.Revision && !w.world.boxes[other.Name].wentBack.After(writer.begun) {
			w.world.violate(OneForABadRevision, "%s is told to run revision %s, from which %s went back", name, after.Spec.Revision, other.Name)
		}
	}
	if b := w.world.boxes[name]; w.needsDrain(before, after) && b != nil && !b.drained && !writer.deposed {
		w.world.violate(DrainedFirst, "%s is told to run %s instead of %s with its pods", name, after.Spec.Version, before.Spec.Version)
	}
}

// needsDrain says that a node that runs what it was told is given another minor version.
func (w *watch) needsDrain(before, after *v1alpha1.NodeAgent) bool {
	class, _ := disruption.OfVersions(before.Spec.Version, after.Spec.Version)
	return class == disruption.Drain && before.Status.Phase == v1alpha1.PhaseCommitted && before.Status.ObservedGeneration == before.Generation
}

func content(a *v1alpha1.NodeAgent) string {
	return fmt.Sprintf("%s, maxPods %d, %v", a.Spec.Version, ptr.Deref(a.Spec.Kubelet.MaxPods, 0), a.Spec.Artifacts)
}

// worked says that something has ever worked on a machine, so that it may have pods.
func (w *watch) worked(name string) bool {
	b := w.world.boxes[name]
	return b != nil && b.good != ""
}

// begins notes that the change of a node begins, or goes on.
func (w *watch) begins(name, how string, writer *manager) {
	w.mayChange(name, how, writer)
	if writer.deposed && !slices.Contains(w.world.pool().Status.Updating, name) {
		return // A request that its successor cannot know of: it has found nothing to change there, and lets another one begin.
	}
	// One that was named when more might be unavailable is changed, whatever the limit is since; and one whose change goes on is no further
	// one, whatever the limit was when it began.
	_, already := w.changing[name]
	most := max(w.named[name], w.most(writer))
	var others []string
	for _, other := range slices.Sorted(maps.Keys(w.changing)) {
		if other != name {
			if already {
				most = max(most, w.named[other])
			}
			others = append(others, fmt.Sprintf("%s since %s, %s", other, clock(w.changing[other].Sub(epoch)), w.state(other)))
		}
	}
	if len(others) >= most {
		w.world.violate(MaxUnavailable, "%s is %s, where %d may be unavailable, and the change of %d is not over: %s", name, how, most, len(others), strings.Join(others, "; "))
	}
	w.world.tally.Together += min(len(others), 1)
	if !already {
		w.changing[name] = w.world.now
	}
}

// ends notes that a change is over.
func (w *watch) ends(name string) {
	since, is := w.changing[name]
	if !is {
		return
	}
	machine, agent, node, b := w.world.machine(name), w.world.agent(name), w.world.node(name), w.world.boxes[name]
	if machine == nil || !machine.DeletionTimestamp.IsZero() || agent == nil {
		delete(w.changing, name)
		return
	}
	settled := agent.Status.ObservedGeneration == agent.Generation && (agent.Status.Phase == v1alpha1.PhaseCommitted || agent.Status.Phase == v1alpha1.PhaseRolledBack)
	cordoned := node != nil && node.Spec.Unschedulable
	// What fell ill meanwhile is not unavailable by us, whatever it was before.
	well := meta.IsStatusConditionTrue(machine.Status.Conditions, clusterv1.MachineAvailableCondition) || b.struck.After(since) || b.ill.After(w.world.now) || b.silent.After(w.world.now)
	if settled && !cordoned && (well || agent.Status.Phase == v1alpha1.PhaseRolledBack) {
		delete(w.changing, name)
	}
}

func (w *watch) state(name string) string {
	agent, node := w.world.agent(name), w.world.node(name)
	if agent == nil {
		return "it has no NodeAgent"
	}
	available := meta.IsStatusConditionTrue(w.world.machine(name).Status.Conditions, clusterv1.MachineAvailableCondition)
	return fmt.Sprintf("%s with revision %s, cordoned %t, available %t", agent.Status.Phase, agent.Spec.Revision, node != nil && node.Spec.Unschedulable, available)
}
