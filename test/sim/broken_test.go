package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

// mostSeeds is within how many weeks each broken manager must be found.
const mostSeeds = 300

// broken are managers that do one thing wrong each, and the invariants that its weeks are held to, one of which must find it. Together
// they break each invariant.
var broken = []struct {
	how     string
	breaks  Breaker
	foundBy []*invariant
}{
	{"makes a second machine beside each", onCreate(makesAnother), []*invariant{noSecondMachine}},
	{"takes a name that a machine had which is gone", renames, []*invariant{nameOnce}},
	{"makes a machine for each that it deletes with its pool", onDelete(makesOneInstead), []*invariant{noneForADeletedPool}},
	{"does not see that its pool is paused", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Paused = nil
		}
	}), []*invariant{pausedChangesNothing}},
	{"does not see that the fleet is stopped", sees(func(o client.Object) {
		if config, is := o.(*corev1.ConfigMap); is {
			config.Annotations = nil
		}
	}), []*invariant{stopHolds}},
	{"does not see its budgets", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Disruption.Budgets = nil
		}
	}), []*invariant{withinBudgets}},
	{"changes another node beside each", onPatch(changesAnother), []*invariant{maxUnavailable}},
	{"does not see that a node went back", sees(func(o client.Object) {
		if agent, is := o.(*v1alpha1.NodeAgent); is && agent.Status.Phase == v1alpha1.PhaseRolledBack {
			agent.Status.Phase, agent.Status.CurrentRevision, agent.Status.FailedRevision = v1alpha1.PhaseCommitted, agent.Spec.Revision, nil
		}
	}), []*invariant{oneForABadRevision}},
	{"takes each edit for one of the template", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Template.Spec.Kubelet.MaxPods = ptr.To(int32(10 + pool.Generation%50)) //nolint:gosec // small
		}
	}), []*invariant{onlyTheTemplateRolls}},
	{"changes the agents of all nodes at once", onPatch(changesEachAgent), []*invariant{agentWithItsRevision}},
	{"does not see that an agent was given up", sees(func(o client.Object) {
		if agent, is := o.(*v1alpha1.NodeAgent); is && gaveItsAgentUp(agent) {
			agent.Status.Agent = &v1alpha1.AgentProgram{Digest: digestOf(agent.Spec.Agent.Version)}
		}
	}), []*invariant{agentWithItsRevision}},
	{"does not wait for an agent", sees(func(o client.Object) {
		if agent, is := o.(*v1alpha1.NodeAgent); is && agentDue(agent) {
			agent.Status.Agent = &v1alpha1.AgentProgram{Digest: digestOf(agent.Spec.Agent.Version)}
		}
	}), []*invariant{maxUnavailable}},
	{"gives up what no node went back from", sees(func(o client.Object) {
		pool, is := o.(*v1alpha1.NodePool)
		if !is || pool.Status.Rollout == nil || pool.Status.Rollout.CompletedRevision == "" || pool.Status.Rollout.CompletedRevision == pool.Status.Rollout.Revision {
			return
		}
		pool.Spec.Rollout.OnFailure = v1alpha1.RolloutOnFailureRollback
		pool.Status.Rollout.Failed = &v1alpha1.FailedRollout{Revision: pool.Status.Rollout.Revision, PreviousRevision: pool.Status.Rollout.CompletedRevision}
	}), []*invariant{onlyTheTemplateRolls}},
	{"has no canary", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Rollout.Canary = nil
		}
	}), []*invariant{canaryFirst}},
	{"has no patience with a canary", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is && pool.Spec.Rollout.Canary != nil {
			pool.Spec.Rollout.Canary.SoakSeconds = nil
		}
	}), []*invariant{canaryFirst}},
	{"has no patience with a node that has to stay ready", sees(hurries), []*invariant{readyForLong}},
	{"has no patience with a machine that is made in the place of another", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is && pool.Spec.Rollout.Strategy == v1alpha1.RolloutReplace {
			hurries(o)
		}
	}), []*invariant{readyForLong}},
	{"deletes a machine that it is told to change", onPatch(deletesIt), []*invariant{noneWithoutNeed}},
	{"deletes an older machine when it makes one in its place", onCreate(deletesAnOlder), []*invariant{replacementFirst, noneWithoutNeed}},
	{"takes a machine that is made in the place of another for well", sees(func(o client.Object) {
		if machine, is := o.(*clusterv1.Machine); is {
			for _, condition := range []string{clusterv1.MachineReadyCondition, clusterv1.MachineAvailableCondition} {
				meta.SetStatusCondition(&machine.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: "Seen"})
			}
		}
	}), []*invariant{replacementFirst, maxUnavailable}},
	{"does not drain", func(_ *world, cached client.Client, live client.Reader, _ nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return cached, live, drainsNothing{}
	}, []*invariant{drainedFirst}},
	{"gives a drain no time", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Disruption.DrainTimeoutSeconds = ptr.To[int32](1)
		}
	}), []*invariant{drainedFirst}},
	{"gives a drain all the time", sees(withoutDrainTimeout), []*invariant{drainEnds}},
	{"does not tell Cluster API how long it is to drain", sees(withoutDrainTimeout), []*invariant{deletedAsAsked}},
	{"makes no third machine", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is && ptr.Deref(pool.Spec.Replicas, 1) > 2 {
			pool.Spec.Replicas = ptr.To(int32(2))
		}
	}), []*invariant{becomesItsSpec}},
	{"locks nothing", func(_ *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return locksNothing{cached}, live, drainer
	}, []*invariant{noSecondMachine, nameOnce, maxUnavailable}},
	{"takes its cache for the API server", takesItsCache, []*invariant{noSecondMachine, nameOnce, maxUnavailable}},
	{"deletes a revision that it makes a machine from", onCreate(deletesItsRevision), []*invariant{revisionKept}},
	{"has no patience with a rollout", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is && pool.Status.Rollout != nil && !pool.Status.Rollout.ProgressedAt.IsZero() {
			pool.Status.Rollout.ProgressedAt.Time = pool.Status.Rollout.ProgressedAt.Add(-time.Hour)
		}
	}), []*invariant{stalledForLong}},
	{"does not see who is to be left alone", sees(func(o client.Object) {
		if m, is := o.(*clusterv1.Machine); is {
			delete(m.Annotations, v1alpha1.DoNotDisruptAnnotation)
		}
	}), []*invariant{leftAlone}},
	{"keeps each revision", func(_ *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return keepsRevisions{cached}, live, drainer
	}, []*invariant{historyBounded}},
	{"leaves infrastructure machines behind", onCreate(leavesInfrastructure), []*invariant{nothingLeft}},
	{"does not wait before it replaces a machine", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Repair.Timeouts.ReplaceSeconds = ptr.To(int32(1))
		}
	}), []*invariant{repairedWhenUnhealthy}},
	{"does not see that a request is taken back", sees(func(o client.Object) {
		if m, is := o.(*clusterv1.Machine); is {
			meta.RemoveStatusCondition(&m.Status.Conditions, clusterv1.MachineHealthCheckSucceededCondition)
		}
	}), []*invariant{requestsAnswered}},
	{"takes a node that is cut off for one that says it is ill", takesSilenceForIllness, []*invariant{noneRepairedInAPartition}},
	{"does not wait for what it made in the place of another", sees(func(o client.Object) {
		switch o := o.(type) {
		case *v1alpha1.NodePool:
			o.Spec.Repair.MaxUnhealthy = ptr.To(intstr.FromString("100%"))
			if o.Status.Repair != nil {
				o.Status.Repair.Current = nil
			}
		}
	}), []*invariant{oneRepairAtATime}},
	{"does not see how old machines may become", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Disruption.ExpireAfterSeconds = nil
		}
	}), []*invariant{expiredAreGone}},
	{"does not see that somebody asks for a refresh", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			delete(pool.Annotations, v1alpha1.RefreshAtAnnotation)
		}
	}), []*invariant{expiredAreGone}},
	{"takes machines for older than they are", sees(func(o client.Object) {
		if m, is := o.(*clusterv1.Machine); is {
			m.CreationTimestamp.Time = m.CreationTimestamp.Add(-4 * time.Hour)
		}
	}), []*invariant{noSecondMachine}},
	{"forgets what it asked agents for", sees(func(o client.Object) {
		switch o := o.(type) {
		case *v1alpha1.NodePool:
			if o.Status.Repair != nil {
				o.Status.Repair.Current = nil
			}
		case *v1alpha1.NodeAgent:
			o.Spec.Repair, o.Status.Repair = nil, nil
		}
	}), []*invariant{rungsInOrder}},
	{"skips the first rung", sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Repair.Ladder = slices.DeleteFunc(pool.Spec.Repair.Ladder, func(rung v1alpha1.RepairRung) bool { return rung == v1alpha1.RepairRestartComponent })
		}
	}), []*invariant{rungsInOrder}},
	{"says that no machine is ready", func(_ *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return saysNoneReady{cached}, live, drainer
	}, []*invariant{statusSaysSo}},
}

func hurries(o client.Object) {
	if pool, is := o.(*v1alpha1.NodePool); is {
		pool.Spec.Rollout.MinReadySeconds = nil
	}
}

// TestEachInvariantIsFoundBroken has the simulation look at each of the broken managers.
func TestEachInvariantIsFoundBroken(t *testing.T) {
	found := map[string]bool{}
	for _, b := range broken {
		t.Run(b.how, func(t *testing.T) {
			for seed := uint64(1); seed <= mostSeeds; seed++ {
				result := Run(Options{Seed: seed, Break: b.breaks, Hold: b.foundBy})
				if result.Violation == nil {
					continue
				}
				fmt.Printf("  a manager that %s: %s in week %d on %s\n", b.how, result.Violation.Invariant, seed, clock(result.Violation.At))
				found[result.Violation.Invariant] = true
				return
			}
			t.Errorf("a manager that %s is not found in %d weeks", b.how, mostSeeds)
		})
	}
	for _, one := range invariants {
		if !found[one.name] {
			t.Errorf("no broken manager breaks %s: nobody knows whether the simulation would find it", one.name)
		}
	}
}

var takesSilenceForIllness = sees(func(o client.Object) {
	switch o := o.(type) {
	case *v1alpha1.NodePool:
		o.Spec.Repair.MaxUnhealthy = ptr.To(intstr.FromString("100%"))
	case *clusterv1.Machine:
		c := meta.FindStatusCondition(o.Status.Conditions, clusterv1.MachineNodeReadyCondition)
		if c != nil && c.Status == metav1.ConditionUnknown {
			c.Status, c.Reason = metav1.ConditionFalse, clusterv1.MachineNodeNotReadyReason
		}
	}
})

// TestAReplayIsSmallAndTrue has the least of a day's events break the same invariant again.
func TestAReplayIsSmallAndTrue(t *testing.T) {
	breaks := sees(func(o client.Object) {
		if pool, is := o.(*v1alpha1.NodePool); is {
			pool.Spec.Paused = nil
		}
	})
	for seed := uint64(1); seed <= mostSeeds; seed++ {
		whole := Run(Options{Seed: seed, Break: breaks, Hold: []*invariant{pausedChangesNothing}})
		if whole.Violation == nil {
			continue
		}
		least := Shrink(whole, breaks, time.Minute)
		if least.Violation == nil || least.Violation.Invariant != pausedChangesNothing.name {
			t.Fatalf("the replay does not break what the day did: %+v", least.Violation)
		}
		if len(least.Happened) > 6 { // a pause, an edit that asks for something, and what makes the two meet
			t.Errorf("the replay has %d of %d events:\n%s", len(least.Happened), len(whole.Happened), least.Replay())
		}
		ids := make([]int, 0, len(least.Happened))
		for _, e := range least.Happened {
			ids = append(ids, e.id)
		}
		again := Run(Options{Seed: seed, Only: ids, Break: breaks, Tell: true, Hold: []*invariant{pausedChangesNothing}})
		if *again.Violation != *least.Violation || !slices.Equal(again.Told, least.Told) {
			t.Errorf("run again, it is another one:\n%s\n%s", least.Replay(), again.Replay())
		}
		if !strings.Contains(least.Replay(), fmt.Sprintf("make sim SEEDS=%d EVENTS=", seed)) {
			t.Errorf("the replay does not say how it is run:\n%s", least.Replay())
		}
		return
	}
	t.Fatalf("nothing broke in %d weeks", mostSeeds)
}

// eyes show a manager something else than is there.
type eyes struct {
	client.Client
	readerEyes
}

type readerEyes struct {
	client.Reader
	show func(client.Object)
}

func sees(show func(client.Object)) Breaker {
	return func(_ *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return eyes{Client: cached, readerEyes: readerEyes{cached, show}}, readerEyes{live, show}, drainer
	}
}

func (e eyes) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	return e.readerEyes.Get(ctx, key, into, options...)
}

func (e eyes) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return e.readerEyes.List(ctx, list, options...)
}

func (r readerEyes) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, into, options...)
	if err == nil {
		r.show(into)
	}
	return err
}

func (r readerEyes) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := r.Reader.List(ctx, list, options...); err != nil {
		return err
	}
	return meta.EachListItem(list, func(o runtime.Object) error {
		r.show(as[client.Object](o))
		return nil
	})
}

// hands do something besides what a manager does.
type hands struct {
	client.Client
	world    *world
	create   func(context.Context, *world, client.Client, *clusterv1.Machine)
	deletion func(context.Context, *world, client.Client, *clusterv1.Machine)
	patch    func(context.Context, *world, client.Client, *v1alpha1.NodeAgent)
}

func (h hands) between(_ *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
	h.Client = cached
	return h, live, drainer
}

func onCreate(do func(context.Context, *world, client.Client, *clusterv1.Machine)) Breaker {
	return func(w *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return hands{world: w, create: do}.between(w, cached, live, drainer)
	}
}

func onDelete(do func(context.Context, *world, client.Client, *clusterv1.Machine)) Breaker {
	return func(w *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return hands{world: w, deletion: do}.between(w, cached, live, drainer)
	}
}

func onPatch(do func(context.Context, *world, client.Client, *v1alpha1.NodeAgent)) Breaker {
	return func(w *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
		return hands{world: w, patch: do}.between(w, cached, live, drainer)
	}
}

func (h hands) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	err := h.Client.Create(ctx, object, options...)
	if machine, is := object.(*clusterv1.Machine); is && err == nil && h.create != nil {
		h.create(ctx, h.world, h.Client, machine)
	}
	return err
}

func (h hands) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	machine := h.world.machine(object.GetName())
	err := h.Client.Delete(ctx, object, options...)
	if err == nil && machine != nil && kindOf(object) == machines && h.deletion != nil {
		h.deletion(ctx, h.world, h.Client, machine)
	}
	return err
}

func (h hands) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	err := h.Client.Patch(ctx, object, patch, options...)
	if agent, is := object.(*v1alpha1.NodeAgent); is && err == nil && h.patch != nil {
		h.patch(ctx, h.world, h.Client, agent)
	}
	return err
}

// fresh is a Machine like another one.
func fresh(like *clusterv1.Machine, name string) *clusterv1.Machine {
	machine := like.DeepCopy()
	machine.ObjectMeta = metav1.ObjectMeta{Namespace: like.Namespace, Name: name, Labels: like.Labels, Finalizers: like.Finalizers}
	return machine
}

func makesAnother(ctx context.Context, _ *world, c client.Client, made *clusterv1.Machine) {
	_ = c.Create(ctx, fresh(made, made.Name+"000"))
}

func makesOneInstead(ctx context.Context, w *world, c client.Client, deleted *clusterv1.Machine) {
	if pool := w.pool(); pool != nil && !pool.DeletionTimestamp.IsZero() {
		_ = c.Create(ctx, fresh(deleted, deleted.Name+"000"))
	}
}

func deletesAnOlder(ctx context.Context, w *world, c client.Client, made *clusterv1.Machine) {
	for _, m := range w.machines() {
		if m.Labels[v1alpha1.RevisionLabel] != made.Labels[v1alpha1.RevisionLabel] && available(m) {
			_ = c.Delete(ctx, m.DeepCopy(), client.Preconditions{UID: &m.UID})
			return
		}
	}
}

func deletesItsRevision(ctx context.Context, _ *world, c client.Client, made *clusterv1.Machine) {
	name := v1alpha1.RevisionName(poolName, made.Labels[v1alpha1.RevisionLabel])
	_ = c.Delete(ctx, &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

func leavesInfrastructure(ctx context.Context, _ *world, c client.Client, made *clusterv1.Machine) {
	left := &unstructured.Unstructured{Object: map[string]any{}}
	left.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kindNames[infra]))
	left.SetNamespace(namespace)
	left.SetName(made.Name + "000")
	_ = c.Create(ctx, left)
}

func changesAnother(ctx context.Context, w *world, c client.Client, changed *v1alpha1.NodeAgent) {
	for _, m := range w.machines() {
		other := w.agent(m.Name)
		if other == nil || m.Name == changed.Name || equality.Semantic.DeepEqual(other.Spec, changed.Spec) {
			continue
		}
		next := other.DeepCopy()
		next.Spec = changed.Spec
		_ = c.Patch(ctx, next, client.MergeFrom(other))
		return
	}
}

func changesEachAgent(ctx context.Context, w *world, c client.Client, changed *v1alpha1.NodeAgent) {
	for _, m := range w.machines() {
		if other := w.agent(m.Name); other != nil && m.Name != changed.Name && !equality.Semantic.DeepEqual(other.Spec.Agent, changed.Spec.Agent) {
			next := other.DeepCopy()
			next.Spec.Agent = changed.Spec.Agent
			_ = c.Patch(ctx, next, client.MergeFrom(other))
		}
	}
}

func deletesIt(ctx context.Context, w *world, c client.Client, changed *v1alpha1.NodeAgent) {
	if m := w.machine(changed.Name); m != nil {
		_ = c.Delete(ctx, m.DeepCopy(), client.Preconditions{UID: &m.UID})
	}
}

// reuser makes machines under names that were used before.
type reuser struct {
	client.Client
	world *world
}

func renames(w *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
	return reuser{cached, w}, live, drainer
}

func (r reuser) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if machine, is := object.(*clusterv1.Machine); is {
		for _, ordinal := range []string{"0", "1", "2", "3"} {
			prefix := v1alpha1.MachineNamePrefix(r.world.pool())
			if name := prefix + ordinal; r.world.watch.made[name] && r.world.machine(name) == nil {
				machine.Name = name
			}
		}
	}
	return r.Client.Create(ctx, object, options...)
}

func withoutDrainTimeout(o client.Object) {
	if pool, is := o.(*v1alpha1.NodePool); is {
		pool.Spec.Disruption.DrainTimeoutSeconds = nil
	}
}

type drainsNothing struct{}

func (drainsNothing) Drain(context.Context, *clusterv1.Cluster, *clusterv1.Machine, metav1.Time) (string, error) {
	return "", nil
}

// keepsRevisions deletes none.
type keepsRevisions struct{ client.Client }

func (k keepsRevisions) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	if _, is := object.(*appsv1.ControllerRevision); is {
		return nil
	}
	return k.Client.Delete(ctx, object, options...)
}

// takesItsCache has a manager's cache of Machines be late for two hours from when it leads, which is all the same to one that asks.
func takesItsCache(w *world, cached client.Client, _ client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer) {
	as[*cachedClient](cached).calls.caches[machines].stuck = w.now.Add(2 * time.Hour)
	return cached, cached, drainer
}

// locksNothing writes over whatever others wrote.
type locksNothing struct{ client.Client }

func (l locksNothing) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	raw, err := withoutLock(object, patch)
	if err != nil {
		return err
	}
	return l.Client.Patch(ctx, object, raw, options...)
}

func (l locksNothing) Status() client.SubResourceWriter {
	return statusWithoutLock{l.Client.Status()}
}

type statusWithoutLock struct{ client.SubResourceWriter }

func (s statusWithoutLock) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	raw, err := withoutLock(object, patch)
	if err != nil {
		return err
	}
	return s.SubResourceWriter.Patch(ctx, object, raw, options...)
}

func withoutLock(object client.Object, patch client.Patch) (client.Patch, error) {
	data, err := patch.Data(object)
	if err != nil {
		return nil, err
	}
	document := map[string]any{}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	if metadata, is := document["metadata"].(map[string]any); is {
		delete(metadata, "resourceVersion")
	}
	if data, err = json.Marshal(document); err != nil {
		return nil, err
	}
	return client.RawPatch(types.MergePatchType, data), nil
}

type saysNoneReady struct{ client.Client }

func (s saysNoneReady) Status() client.SubResourceWriter { return noneReady{s.Client.Status()} }

type noneReady struct{ client.SubResourceWriter }

func (n noneReady) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if pool, is := object.(*v1alpha1.NodePool); is && pool.Status.ReadyReplicas != nil {
		*pool.Status.ReadyReplicas = 0
	}
	return n.SubResourceWriter.Patch(ctx, object, patch, options...)
}
