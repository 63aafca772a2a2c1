package sim

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/fence"
)

// leastDrain is how long it takes at least until a Machine is gone that is being deleted: longer than a manager goes on that has
// lost its lease.
const leastDrain = 20 * time.Second

// box is a machine itself, behind its objects.
type box struct {
	name string
	// booted is true once its agent runs, and off once its infrastructure is gone.
	booted, off bool
	// good is the revision that proved itself on it last.
	good string
	// failed is what it went back from last, and denied the revision that it does not try again.
	failed *v1alpha1.FailedRevision
	denied string
	// wentBack is when that was, or when it gave an agent up.
	wentBack time.Time
	// program is the version of its agent, and failedAgent what it gave up last.
	program     string
	failedAgent *v1alpha1.FailedAgent
	// silent and ill are until when it is that, and struck when it last became so.
	silent, ill, struck time.Time
	// condemned is until when a MachineHealthCheck finds it unhealthy.
	condemned time.Time
	// late says that it has not joined in time.
	late bool
	// disturbed says that the revision that is being tried keeps the node from being ready.
	disturbed bool
	// asked is since when its node is drained, and drained that it is empty.
	asked   time.Time
	drained bool
	// overdue is how often in a row a manager has drained it whose time for that had long been over.
	overdue int
	// treated is the request to repair it that its agent has looked at last.
	treated time.Time
	// busy says that its agent is on its way to something. throws counts what was decided about it by chance.
	busy   bool
	throws int
}

// takes is how long something takes on a machine.
func (w *world) takes(low, high time.Duration, what string, b *box) time.Duration {
	b.throws++
	return w.between(low, high, what, b.name, b.throws)
}

// fleetSees has Cluster API, the nodeagent controller and the machines do their part.
func (w *world) fleetSees(c change) {
	switch c.kind {
	case pools:
		w.poolChanged(c)
	case machines:
		w.machineChanged(c)
	case agents:
		w.agentChanged(c)
	case nodes:
		if node := w.node(c.name()); node != nil && !node.Spec.Unschedulable && w.boxes[c.name()] != nil {
			w.boxes[c.name()].asked, w.boxes[c.name()].drained = time.Time{}, false
		}
	}
}

func (w *world) poolChanged(c change) {
	if c.after == nil {
		w.statuses = nil
		w.after(w.between(time.Second, 5*time.Minute, "anew", "", w.api.version), w.createPool)
		return
	}
	if pool := as[*v1alpha1.NodePool](c.after); pool.Status.Reserved != nil && len(w.statuses) < 20 {
		w.statuses = append(w.statuses, pool.Status)
	}
}

func (w *world) machineChanged(c change) {
	name := c.name()
	switch {
	case c.before == nil:
		b := &box{name: name, program: releases[0]}
		w.boxes[name] = b
		w.tally.Machines++
		w.after(w.takes(50*time.Millisecond, 2*time.Second, "agent", b), func() { w.ensureAgent(name) })
		w.after(w.takes(5*time.Second, 2*time.Minute, "boot", b), func() { w.boot(b) })
	case c.after == nil:
		w.after(time.Second, func() { w.collect(name) })
	case c.before.GetDeletionTimestamp().IsZero() && !c.after.GetDeletionTimestamp().IsZero():
		w.after(w.takes(leastDrain, 3*time.Minute, "drain", w.boxes[name]), func() { w.finishDeletion(name) })
	}
}

func (w *world) agentChanged(c change) {
	switch {
	case c.after == nil:
		w.after(time.Second, func() { w.ensureAgent(c.name()) })
	case c.before == nil || c.before.GetGeneration() != c.after.GetGeneration():
		w.kick(c.name())
	}
}

// ensureAgent makes a Machine's NodeAgent, with what the Machine was told last.
func (w *world) ensureAgent(name string) {
	machine := w.machine(name)
	if machine == nil || !machine.DeletionTimestamp.IsZero() || w.agent(name) != nil {
		return
	}
	told := v1alpha1.RevisionName(poolName, v1alpha1.ToldRevision(machine))
	revision := of[*appsv1.ControllerRevision](w.api, revisions, told)
	if revision == nil {
		return // revisionKept has seen it go
	}
	spec, err := desired.Spec(revision, w.bundle(machine.Spec.Version), facts)
	if err != nil {
		w.violate(revisionKept.name, "%v", err)
		return
	}
	_ = w.api.create(&v1alpha1.NodeAgent{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1alpha1.PoolLabel: machine.Labels[v1alpha1.PoolLabel], v1alpha1.PoolUIDLabel: machine.Labels[v1alpha1.PoolUIDLabel],
			v1alpha1.PoolNamespaceLabel: machine.Namespace, v1alpha1.MachineUIDLabel: string(machine.UID),
		}},
		Spec: spec,
	})
}

func (w *world) bundle(version string) *v1alpha1.NodeBundle {
	return of[*v1alpha1.NodeBundle](w.api, bundles, version)
}

// boot starts a machine's agent.
func (w *world) boot(b *box) {
	if w.machine(b.name) == nil || b.booted || b.off {
		return
	}
	if w.lasts(stillborn) {
		w.say("%s does not boot", b.name)
		w.isLate(b)
		return
	}
	b.booted = true
	w.kick(b.name)
}

// join registers a machine's Node. Cluster API finds it a moment later.
func (w *world) join(b *box) {
	machine := w.machine(b.name)
	if machine == nil || b.off || w.node(b.name) != nil && foreign(w.node(b.name)) {
		return
	}
	_ = w.api.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: b.name, Labels: map[string]string{v1alpha1.PoolUIDLabel: machine.Labels[v1alpha1.PoolUIDLabel]},
	}})
	w.after(w.takes(20*time.Millisecond, 2*time.Second, "noderef", b), func() {
		edit(w.api, machines, b.name, func(m *clusterv1.Machine) { m.Status.NodeRef.Name = b.name })
		w.refresh(b)
	})
}

// finishDeletion is the end of Cluster API's part in a deletion, when the node is drained.
func (w *world) finishDeletion(name string) {
	if w.lasts(blockedDrain) && !w.gaveUp(w.machine(name)) {
		w.after(20*time.Second, func() { w.finishDeletion(name) })
		return
	}
	if node := w.node(name); node != nil && !foreign(node) {
		_ = w.api.remove(nodes, name, nil)
	}
	_ = w.api.remove(infra, name, nil)
	w.boxes[name].off = true
	edit(w.api, machines, name, func(m *clusterv1.Machine) { controllerutil.RemoveFinalizer(m, clusterv1.MachineFinalizer) })
}

// collect fences the name of a Machine that is gone, and takes away its NodeAgent.
func (w *world) collect(name string) {
	kubelet := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: v1alpha1.NodeUserPrefix + name}
	if w.api.get(bindings, fence.Name) == nil {
		_ = w.api.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: fence.Name}})
	}
	edit(w.api, bindings, fence.Name, func(l *rbacv1.ClusterRoleBinding) { l.Subjects = append(l.Subjects, kubelet) })
	delete(w.boxes, name)
	_ = w.api.remove(agents, name, nil)
}

// drain empties a node. It says what is still there.
func (w *world) drain(name string) string {
	b := w.boxes[name]
	if b == nil || b.drained {
		return ""
	}
	if b.overdue++; !w.watch.isOverdue(name) {
		b.overdue = 0
	}
	switch {
	case w.lasts(blockedDrain):
		return "Pod web/one: PodDisruptionBudget web allows no disruption"
	case b.asked.IsZero():
		b.asked = w.now.Add(w.takes(time.Second, 40*time.Second, "pods", b))
	}
	if b.drained = !w.now.Before(b.asked); !b.drained {
		return "Pod web/one: deletionTimestamp set, but still not removed"
	}
	return ""
}

// refresh has a machine's conditions follow what it is like: first what its agent says, then Cluster API's own.
func (w *world) refresh(b *box) {
	delay := w.takes(20*time.Millisecond, 2*time.Second, "health", b)
	if b.silent.After(w.now) {
		delay = w.takes(40*time.Second, time.Minute, "silence", b) // as long as a Lease lasts
	}
	w.after(delay, func() {
		machine := w.machine(b.name)
		if machine == nil {
			return
		}
		has := meta.FindStatusCondition(machine.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
		if want := w.health(b); want != nil && (has == nil || has.Status != want.Status || has.Reason != want.Reason) {
			w.setCondition(b, *want)
		}
		w.nodeHealth(b)
		w.after(w.takes(20*time.Millisecond, time.Second, "ready", b), func() { w.follow(b) })
	})
}

// follow sets Ready by what the agent says, and then Available.
func (w *world) follow(b *box) {
	machine := w.machine(b.name)
	if machine == nil {
		return
	}
	healthy := meta.IsStatusConditionTrue(machine.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	w.setTruth(b, clusterv1.MachineReadyCondition, healthy && machine.Status.NodeRef.IsDefined() && !b.condemned.After(w.now))
	w.after(w.takes(10*time.Millisecond, 500*time.Millisecond, "available", b), func() {
		if machine := w.machine(b.name); machine != nil {
			w.setTruth(b, clusterv1.MachineAvailableCondition, meta.IsStatusConditionTrue(machine.Status.Conditions, clusterv1.MachineReadyCondition))
		}
	})
}

func (w *world) setTruth(b *box, conditionType string, is bool) {
	machine := w.machine(b.name)
	if meta.IsStatusConditionTrue(machine.Status.Conditions, conditionType) == is && meta.FindStatusCondition(machine.Status.Conditions, conditionType) != nil {
		return
	}
	condition := metav1.Condition{Type: conditionType, Status: metav1.ConditionFalse, Reason: "NotReady"}
	if is {
		condition.Status, condition.Reason = metav1.ConditionTrue, "Ready"
	}
	w.setCondition(b, condition)
}

func (w *world) setCondition(b *box, condition metav1.Condition) {
	condition.LastTransitionTime = metav1.NewTime(w.now.Truncate(time.Second))
	edit(w.api, machines, b.name, func(m *clusterv1.Machine) { meta.SetStatusCondition(&m.Status.Conditions, condition) })
}

// health is what the nodeagent controller says of a machine; nil for nothing yet.
func (w *world) health(b *box) *metav1.Condition {
	of := func(status metav1.ConditionStatus, reason string) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.MachineAgentHealthyCondition, Status: status, Reason: reason}
	}
	switch {
	case !b.booted && b.late:
		return of(metav1.ConditionFalse, v1alpha1.ReasonNotReported)
	case !b.booted:
		return nil
	case b.silent.After(w.now):
		return of(metav1.ConditionUnknown, v1alpha1.ReasonNotReported)
	case b.ill.After(w.now):
		return of(metav1.ConditionFalse, v1alpha1.ReasonComponentsUnhealthy)
	case b.good == "" && meta.FindStatusCondition(w.machine(b.name).Status.Conditions, v1alpha1.MachineAgentHealthyCondition) == nil:
		return nil // a machine on its normal way to joining
	case b.disturbed || b.good == "":
		return of(metav1.ConditionFalse, v1alpha1.ReasonStarting)
	default:
		return of(metav1.ConditionTrue, "Healthy")
	}
}

// describe is an object in a few words.
func (w *world) describe(k kind, name string) string {
	switch k {
	case pools:
		pool := w.pool()
		if pool == nil {
			return "gone"
		}
		text := fmt.Sprintf("revision %s, changes %v", pool.Status.Revision, pool.Status.Updating)
		if pool.Status.NextOrdinal != nil {
			text += fmt.Sprintf(", next ordinal %d", *pool.Status.NextOrdinal)
		}
		for _, c := range pool.Status.Conditions {
			if c.Type == v1alpha1.ReadyCondition {
				text += fmt.Sprintf("; Ready %s, %s", c.Status, c.Reason)
			}
		}
		if r := pool.Status.Reserved; r != nil {
			text += fmt.Sprintf(", reserved %d from %d on for %s", r.Count, *r.First, r.Revision)
		}
		return text
	case agents:
		if a := w.agent(name); a != nil {
			return fmt.Sprintf("to run %s, generation %d; runs %s, %s, of generation %d", a.Spec.Revision, a.Generation, a.Status.CurrentRevision, a.Status.Phase, a.Status.ObservedGeneration)
		}
	case machines:
		if m := w.machine(name); m != nil {
			return fmt.Sprintf("made from %s, told %s, deleted %t", m.Labels[v1alpha1.RevisionLabel], v1alpha1.ToldRevision(m), !m.DeletionTimestamp.IsZero())
		}
	case nodes:
		if n := w.node(name); n != nil {
			return fmt.Sprintf("unschedulable %t", n.Spec.Unschedulable)
		}
	}
	if w.api.get(k, name) == nil {
		return "gone"
	}
	return "there"
}
