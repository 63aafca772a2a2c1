package nodepool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

// fleet is a pool whose nodes' agents a test plays.
type fleet struct {
	*site
	pool *v1alpha1.NodePool
	// refuses says of which setting an agent goes back from what it is told.
	refuses func(*v1alpha1.NodeAgent) bool
	// deaf are the agents that do nothing.
	deaf map[string]bool
}

// startFleet makes a pool and waits until each of its nodes runs what it was made from.
func startFleet(t *testing.T, name string, replicas int32) *fleet {
	t.Helper()
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.startManager(f.mayBeStopped)
	f.pool = f.site.pool(name, replicas)
	f.create(f.pool)
	f.eventually("all run what they were made from", func() error {
		f.play()
		return f.updated(replicas)
	})
	return f
}

// play lets Cluster API, the nodeagent controller and the agents do their part.
func (f *fleet) play() {
	f.t.Helper()
	f.clusterAPI()
	for _, m := range f.machines() {
		agent := &v1alpha1.NodeAgent{}
		if err := f.Client.Get(f.t.Context(), client.ObjectKey{Name: m.Name}, agent); err != nil {
			f.create(f.newAgent(&m))
			continue
		}
		f.step(agent)
	}
}

func (f *fleet) newAgent(m *clusterv1.Machine) *v1alpha1.NodeAgent {
	revision := &appsv1.ControllerRevision{}
	name := v1alpha1.RevisionName(m.Labels[v1alpha1.PoolLabel], m.Labels[v1alpha1.RevisionLabel])
	if err := f.Client.Get(f.t.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, revision); err != nil {
		f.t.Fatal(err)
	}
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Labels: map[string]string{
		v1alpha1.PoolLabel: m.Labels[v1alpha1.PoolLabel], v1alpha1.PoolUIDLabel: m.Labels[v1alpha1.PoolUIDLabel],
		v1alpha1.PoolNamespaceLabel: m.Namespace, v1alpha1.MachineUIDLabel: string(m.UID),
	}}}
	if err := json.Unmarshal(revision.Data.Raw, &agent.Spec); err != nil {
		f.t.Fatal(err)
	}
	agent.Spec.Cluster = v1alpha1.ClusterSettings{Server: "https://10.88.0.9:6443", ServerCA: "its own", ClientCA: "its own"}
	return agent
}

// step takes the agent one phase further.
func (f *fleet) step(agent *v1alpha1.NodeAgent) {
	s := &agent.Status
	heard := s.ObservedGeneration == agent.Generation
	if f.deaf[agent.Name] || heard && (s.Phase == v1alpha1.PhaseCommitted || s.Phase == v1alpha1.PhaseRolledBack) {
		return
	}
	next := map[v1alpha1.NodeAgentPhase]v1alpha1.NodeAgentPhase{v1alpha1.PhaseStaging: v1alpha1.PhaseActivating, v1alpha1.PhaseActivating: v1alpha1.PhaseProbation}
	switch {
	case !heard && s.CurrentRevision == agent.Spec.Revision:
		s.Phase = v1alpha1.PhaseCommitted
	case !heard:
		s.Phase = v1alpha1.PhaseStaging
	case s.Phase == v1alpha1.PhaseProbation && f.refuses(agent):
		s.Phase, s.CurrentRevision = v1alpha1.PhaseRolledBack, s.PreviousRevision
		s.FailedRevision = &v1alpha1.FailedRevision{
			Revision: agent.Spec.Revision, Reason: v1alpha1.ReasonExited, Component: v1alpha1.ComponentKubelet, Time: metav1.Now(),
			Exit: &v1alpha1.ComponentExit{Time: metav1.Now(), LogTail: "E0101 no room for that many pods"},
		}
	case s.Phase == v1alpha1.PhaseProbation:
		s.Phase = v1alpha1.PhaseCommitted
	default:
		s.Phase = next[s.Phase]
		if s.Phase == v1alpha1.PhaseProbation {
			s.PreviousRevision, s.CurrentRevision = s.CurrentRevision, agent.Spec.Revision
		}
	}
	s.ObservedGeneration, s.HeartbeatTime = agent.Generation, metav1.Now()
	if err := f.Client.Status().Update(f.t.Context(), agent); ignoreConflict(client.IgnoreNotFound(err)) != nil {
		f.t.Fatal(err)
	}
}

// agents are the pool's.
func (f *fleet) agents() []v1alpha1.NodeAgent {
	f.t.Helper()
	list := &v1alpha1.NodeAgentList{}
	if err := f.Client.List(f.t.Context(), list, client.MatchingLabels{v1alpha1.PoolUIDLabel: string(f.pool.UID)}); err != nil {
		f.t.Fatal(err)
	}
	return list.Items
}

// updated checks that the pool is ready and so many of its machines run its template.
func (f *fleet) updated(n int32) error {
	if err := f.hasCondition(f.pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady); err != nil {
		return err
	}
	if s := f.pool.Status; ptr.Deref(s.UpdatedReplicas, -1) != n || s.ObservedGeneration != f.pool.Generation || len(s.Updating) > 0 {
		return fmt.Errorf("want %d updated, got %+v", n, s)
	}
	return nil
}

// underWay are the nodes that are told to run one revision and have another, or have yet to prove it.
func (f *fleet) underWay() []string {
	var names []string
	for _, a := range f.agents() {
		if a.Status.ObservedGeneration != a.Generation || a.Status.Phase != v1alpha1.PhaseCommitted && a.Status.Phase != v1alpha1.PhaseRolledBack {
			names = append(names, a.Name)
		}
	}
	return names
}

func maxPods(n int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Kubelet.MaxPods = &n }
}

func TestAnEditOfTheTemplateReachesEachNodeOneAtATime(t *testing.T) {
	f := startFleet(t, "edited", 3)
	first := f.pool.Status.Revision
	update(f.site, f.pool, maxPods(42))
	f.eventually("all run the new template", func() error {
		if names := f.underWay(); len(names) > 1 {
			t.Fatalf("%v are changed at once", names)
		}
		f.play()
		return f.updated(3)
	})
	for _, a := range f.agents() {
		if ptr.Deref(a.Spec.Kubelet.MaxPods, 0) != 42 || a.Spec.Revision != f.pool.Status.Revision || a.Spec.Revision == first {
			t.Errorf("%s is to run %+v", a.Name, a.Spec)
		}
		if a.Spec.Cluster.ServerCA != "its own" || a.Generation != 2 {
			t.Errorf("%s was written %d times and knows the cluster as %+v; a change of the template is none of that", a.Name, a.Generation-1, a.Spec.Cluster)
		}
	}
	for _, m := range f.machines() {
		if m.Labels[v1alpha1.RevisionLabel] != first {
			t.Errorf("Machine %s was made from %s, and says %s", m.Name, first, m.Labels[v1alpha1.RevisionLabel])
		}
		if told := v1alpha1.ToldRevision(&m); told != f.pool.Status.Revision {
			t.Errorf("the node of Machine %s was told %s, and it says %s", m.Name, f.pool.Status.Revision, told)
		}
	}
	stripped := f.machines()[0]
	update(f.site, &stripped, func(m *clusterv1.Machine) { m.Annotations = nil })
	f.eventually("what an earlier manager did not note is noted", func() error {
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(&stripped), &stripped); err != nil {
			return err
		}
		if told := v1alpha1.ToldRevision(&stripped); told != f.pool.Status.Revision {
			return fmt.Errorf("it says %s", told)
		}
		return nil
	})
}

func TestARolloutEndsAtTheFirstNodeThatWentBack(t *testing.T) {
	f := startFleet(t, "refused", 2)
	first := f.pool.Status.Revision
	f.refuses = func(a *v1alpha1.NodeAgent) bool { return ptr.Deref(a.Spec.Kubelet.MaxPods, 0) == 43 }
	update(f.site, f.pool, maxPods(43))
	f.eventually("the pool says that a node went back", func() error {
		f.play()
		return f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack)
	})
	message := meta.FindStatusCondition(f.pool.Status.Conditions, v1alpha1.StalledCondition).Message
	var told []string
	for _, a := range f.agents() {
		if a.Spec.Revision != first {
			told = append(told, a.Name)
		}
	}
	if len(told) != 1 || !strings.Contains(message, told[0]) || !strings.Contains(message, "no room for that many pods") || !strings.Contains(message, v1alpha1.ComponentKubelet) {
		t.Errorf("%v were given it, and the pool says %q", told, message)
	}
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Kubelet.MaxPods = nil })
	f.eventually("the template went back, and so all run it", func() error {
		f.play()
		return f.updated(2)
	})
	for _, a := range f.agents() {
		if a.Spec.Revision != first || a.Status.Phase != v1alpha1.PhaseCommitted {
			t.Errorf("%s is to run %s and is %s", a.Name, a.Spec.Revision, a.Status.Phase)
		}
	}
}

// TestANewerBundleOfTheSameVersionReachesTheNodes when the pool names it. Nothing else has to go for that, and it may be taken
// back.
func TestANewerBundleOfTheSameVersionReachesTheNodes(t *testing.T) {
	f := startFleet(t, "bundles", 2)
	first, old := f.pool.Status.Revision, f.agents()[0].Spec.Artifacts[0].Image
	mended := bundle(f.version+"-mended", f.version)
	mended.Spec.Artifacts[0].Image = "mirror.example/kubernetes@sha256:" + strings.Repeat("cd", 32)
	names := func(name string) {
		t.Helper()
		update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Bundle = name })
	}

	f.create(mended)
	f.eventually("the pool says that it has to name one", func() error {
		return f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonBundleAmbiguous)
	})
	names(f.version)
	f.eventually("with the name of the one that it has it is complete", func() error {
		f.play()
		return f.hasCondition(f.pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady)
	})
	if f.pool.Status.Revision != first || len(f.revisions()) != 1 {
		t.Errorf("naming the bundle that it has made another revision: %s, and not %s", f.pool.Status.Revision, first)
	}
	runs := func(image string) func() error {
		return func() error {
			f.play()
			for _, a := range f.agents() {
				if a.Spec.Artifacts[0].Image != image {
					return fmt.Errorf("%s is to run %s", a.Name, a.Spec.Artifacts[0].Image)
				}
			}
			return f.updated(2)
		}
	}
	names(mended.Name)
	f.eventually("the nodes run the mended one", runs(mended.Spec.Artifacts[0].Image))
	if second := f.pool.Status.Revision; second == first {
		t.Errorf("another bundle is the same revision, %s", first)
	}
	names(f.version)
	f.eventually("the nodes run the old one again", runs(old))
	if f.pool.Status.Revision != first {
		t.Errorf("the old bundle is another revision than before: %s, and not %s", f.pool.Status.Revision, first)
	}
	if machines := f.machines(); len(machines) != 2 {
		t.Errorf("there are %d machines", len(machines))
	}
}

// TestAPoolWaitsForTheBundleThatItNames, of whatever version that is when it comes.
func TestAPoolWaitsForTheBundleThatItNames(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 1)
	pool.Spec.Template.Spec.Bundle = s.version + "-late"
	s.create(pool)
	s.eventually("it is missing", func() error {
		return s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonBundleNotFound)
	})
	other := bundle(pool.Spec.Template.Spec.Bundle, s.another(98))
	s.create(other)
	s.eventually("it has another version", func() error {
		return s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonBundleMismatch)
	})
	anew(s, other, func(b *v1alpha1.NodeBundle) { b.Spec.KubernetesVersion = s.version })
	s.eventually("the machine is made", func() error { return s.counts(1, 0) })
}

// TestAMachineMadeAfterANodeWentBackGetsWhatThatRuns, also while that node tries again, as older agents do with
// other facts of their cluster.
func TestAMachineMadeAfterANodeWentBackGetsWhatThatRuns(t *testing.T) {
	f := startFleet(t, "scaled", 1)
	first := f.pool.Status.Revision
	f.refuses = func(a *v1alpha1.NodeAgent) bool { return ptr.Deref(a.Spec.Kubelet.MaxPods, 0) == 47 }
	newer := fmt.Sprintf("v1.36.%d", versions.Add(1))
	f.create(bundle(newer, newer))
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { maxPods(47)(p); p.Spec.Template.Spec.Version = newer })
	f.eventually("the pool says that a node went back", func() error {
		f.play()
		return f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack)
	})
	agent := f.agents()[0]
	f.deaf[agent.Name] = true
	scale := func(replicas int32) {
		update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = &replicas })
		f.eventually("the pool has them", func() error {
			f.play()
			if n := len(f.machines()); n != int(replicas) {
				return fmt.Errorf("there are %d machines", n)
			}
			return nil
		})
		for _, m := range f.machines() {
			if m.Labels[v1alpha1.RevisionLabel] != first || m.Spec.Version != f.version {
				t.Errorf("Machine %s of %s was made from %s; want %s of %s, which is known to be good", m.Name, m.Spec.Version, m.Labels[v1alpha1.RevisionLabel], first, f.version)
			}
		}
	}
	scale(2)
	update(f.site, &agent, func(a *v1alpha1.NodeAgent) { a.Spec.Cluster.ServerCA = "another" })
	agent.Status.ObservedGeneration, agent.Status.Phase = agent.Generation, v1alpha1.PhaseStaging
	if err := f.Client.Status().Update(t.Context(), &agent); err != nil {
		t.Fatal(err)
	}
	scale(3)
	f.deaf[agent.Name], f.refuses = false, func(*v1alpha1.NodeAgent) bool { return false }
	f.eventually("it was not the revision's fault, and so all run it", func() error { f.play(); return f.updated(3) })
}

func TestAPausedPoolChangesNoNode(t *testing.T) {
	f := startFleet(t, "paused-edit", 1)
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { maxPods(44)(p); p.Spec.Paused = ptr.To(true) })
	f.eventually("it says that it is paused", func() error { return f.hasCondition(f.pool, v1alpha1.ReadyCondition, v1alpha1.ReasonPaused) })
	if a := f.agents(); a[0].Generation != 1 {
		t.Errorf("a paused pool wrote %+v", a[0].Spec)
	}
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = nil })
	f.eventually("it goes on", func() error { f.play(); return f.updated(1) })

	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(true) })
	f.eventually("it has heard that it is paused again", func() error { return f.updated(1) })
	m := f.machines()[0]
	update(f.site, &m, func(m *clusterv1.Machine) { m.Annotations = nil })
	if _, err := f.reconciler(f.Client).Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}); err != nil {
		t.Fatal(err)
	}
	if m := f.machines()[0]; len(m.Annotations) > 0 {
		t.Errorf("a paused pool wrote %v", m.Annotations)
	}
}

// TestANoteIsWrittenWhateverTheCacheSays: that may be of an earlier time when the node was told the same.
func TestANoteIsWrittenWhateverTheCacheSays(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("noted", 1)
	f.create(f.pool)
	runs := func(by *nodepool.Reconciler) {
		f.eventually("it runs the template", func() error {
			if _, err := by.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}); err != nil {
				return err
			}
			f.play()
			return f.updated(1)
		})
	}
	alive := f.reconciler(f.Client)
	runs(alive)
	first := f.pool.Status.Revision
	update(f.site, f.pool, maxPods(49))
	runs(alive)
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Kubelet.MaxPods = nil })
	runs(f.reconciler(interceptor.NewClient(f.watcher(), interceptor.Funcs{
		List: func(ctx context.Context, inner client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := inner.List(ctx, list, opts...)
			if machines, ok := list.(*clusterv1.MachineList); ok && len(machines.Items) > 0 {
				metav1.SetMetaDataAnnotation(&machines.Items[0].ObjectMeta, v1alpha1.ToldRevisionAnnotation, first)
			}
			return err
		},
	})))
	if m := f.machines()[0]; f.pool.Status.Revision != first || v1alpha1.ToldRevision(&m) != first {
		t.Errorf("its node is told %s, and it says %s; want %s", f.pool.Status.Revision, v1alpha1.ToldRevision(&m), first)
	}
}

// TestAManagerThatDiesBetweenTheWritesOfAChange is followed by one that changes the same node and no other.
func TestAManagerThatDiesBetweenTheWritesOfAChange(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("interrupted", 2)
	f.create(f.pool)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}
	alive := f.reconciler(f.Client)
	round := func() {
		if _, err := alive.Reconcile(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	f.eventually("all run what they were made from", func() error { round(); f.play(); return f.updated(2) })
	update(f.site, f.pool, maxPods(45))

	dead, died := errors.New("the manager died"), false
	dies := interceptor.NewClient(f.watcher(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, isAgent := o.(*v1alpha1.NodeAgent); isAgent || died {
				died = true
				return dead
			}
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if died {
				return dead
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	if _, err := f.reconciler(dies).Reconcile(t.Context(), request); !errors.Is(err, dead) {
		t.Fatalf("got %v, want that it dies before it writes the NodeAgent", err)
	}
	if err := f.Client.Get(t.Context(), request.NamespacedName, f.pool); err != nil {
		t.Fatal(err)
	}
	if len(f.pool.Status.Updating) != 1 {
		t.Fatalf("the pool does not say which node is changed: %+v", f.pool.Status)
	}
	chosen := f.pool.Status.Updating[0]
	noted := func() {
		t.Helper()
		for _, m := range f.machines() {
			if _, told := m.Annotations[v1alpha1.ToldRevisionAnnotation]; told != (m.Name == chosen) {
				t.Errorf("Machine %s says that its node is told the new revision: %t; a NodeAgent deleted now would be made anew with something else", m.Name, told)
			}
		}
	}
	noted()
	round()
	noted()
	for _, a := range f.agents() {
		if changed := a.Generation > 1; changed != (a.Name == chosen) {
			t.Errorf("%s was changed: %t; %s was chosen before", a.Name, changed, chosen)
		}
	}
	round()
	f.reconciler(f.Client).Reconcile(t.Context(), request) //nolint:errcheck // another leader, for what it does
	if names := f.underWay(); len(names) != 1 {
		t.Errorf("%v are changed at once", names)
	}
	f.eventually("all run it in the end", func() error { round(); f.play(); return f.updated(2) })
}

// TestAChangeRestsOnWhatItWasDecidedOn: another manager, or the agent, wrote first.
func TestAChangeRestsOnWhatItWasDecidedOn(t *testing.T) {
	for name, meddles := range map[string]func(context.Context, client.Client, client.Object) bool{
		"the pool names another machine": func(ctx context.Context, c client.Client, o client.Object) bool {
			pool, isPool := o.(*v1alpha1.NodePool)
			if !isPool {
				return false
			}
			theirs := &v1alpha1.NodePool{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(pool), theirs); err != nil {
				t.Error(err)
			}
			theirs.Status.Updating = []string{v1alpha1.MachineName(theirs, 1)}
			if err := c.Status().Update(ctx, theirs); err != nil {
				t.Error(err)
			}
			return true
		},
		"the agent has another phase": func(ctx context.Context, c client.Client, o client.Object) bool {
			agent, isAgent := o.(*v1alpha1.NodeAgent)
			if !isAgent {
				return false
			}
			theirs := &v1alpha1.NodeAgent{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(agent), theirs); err != nil {
				t.Error(err)
			}
			theirs.Status.Phase = v1alpha1.PhaseStaging
			if err := c.Status().Update(ctx, theirs); err != nil {
				t.Error(err)
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
			f.pool = f.site.pool("raced", 2)
			f.create(f.pool)
			request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}
			alive := f.reconciler(f.Client)
			f.eventually("all run what they were made from", func() error {
				if _, err := alive.Reconcile(t.Context(), request); err != nil {
					return err
				}
				f.play()
				return f.updated(2)
			})
			update(f.site, f.pool, maxPods(46))
			meddled := false
			raced := interceptor.NewClient(f.watcher(), interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
					meddled = meddled || meddles(ctx, c, o)
					return c.Patch(ctx, o, p, opts...)
				},
				SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
					meddled = meddled || meddles(ctx, c, o)
					return c.SubResource(sub).Patch(ctx, o, p, opts...)
				},
			})
			result, err := f.reconciler(raced).Reconcile(t.Context(), request)
			if err != nil || result.RequeueAfter == 0 || !meddled {
				t.Errorf("got %+v (%v), meddled %t; want that it looks again", result, err, meddled)
			}
			for _, a := range f.agents() {
				if a.Generation > 1 {
					t.Errorf("%s was changed all the same", a.Name)
				}
			}
		})
	}
}

// TestTheNextNodeWaitsUntilTheLastIsWell, whatever an old cache says of that one's Machine.
func TestTheNextNodeWaitsUntilTheLastIsWell(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("late", 2)
	f.create(f.pool)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}
	alive := f.reconciler(f.Client)
	round := func(r *nodepool.Reconciler) {
		if _, err := r.Reconcile(t.Context(), request); err != nil {
			t.Error(err)
		}
	}
	f.eventually("all run what they were made from", func() error { round(alive); f.play(); return f.updated(2) })

	update(f.site, f.pool, maxPods(47))
	round(alive)
	for f.agents()[0].Status.CurrentRevision != f.agents()[0].Spec.Revision || len(f.underWay()) > 0 {
		for _, agent := range f.agents() {
			f.step(&agent)
		}
	}
	machines := f.machines()
	for i := range machines {
		meta.SetStatusCondition(&machines[i].Status.Conditions, metav1.Condition{Type: clusterv1.MachineAvailableCondition, Status: metav1.ConditionFalse, Reason: "Test"})
		if err := f.Client.Status().Update(t.Context(), &machines[i]); err != nil {
			t.Fatal(err)
		}
	}
	old := f.reconciler(interceptor.NewClient(f.watcher(), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if all, is := list.(*clusterv1.MachineList); is {
				for i := range all.Items {
					meta.SetStatusCondition(&all.Items[i].Status.Conditions, metav1.Condition{Type: clusterv1.MachineAvailableCondition, Status: metav1.ConditionTrue, Reason: "Test"})
				}
			}
			return err
		},
	}))
	old.APIReader = f.Client
	round(old)
	changed := 0
	for _, agent := range f.agents() {
		if agent.Generation > 1 {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d nodes were changed; want one, as its Machine is not available", changed)
	}
}

// TestAConflictOverOneMachineHidesNothingElse of what the same round did, nor what else went wrong.
func TestAConflictOverOneMachineHidesNothingElse(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("conflict", 1)
	f.create(f.pool)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}
	alive := f.reconciler(f.Client)
	f.eventually("it runs what it was made from", func() error {
		if _, err := alive.Reconcile(t.Context(), request); err != nil {
			return err
		}
		f.play()
		return f.updated(1)
	})
	lost := errors.New("the connection was lost")
	for _, c := range []struct {
		replicas int32
		create   error
		want     error
	}{{2, nil, nil}, {3, lost, lost}} {
		update(f.site, f.pool, func(p *v1alpha1.NodePool) { maxPods(48 + c.replicas)(p); p.Spec.Replicas = &c.replicas })
		raced := f.reconciler(interceptor.NewClient(f.watcher(), interceptor.Funcs{
			Patch: func(ctx context.Context, inner client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				if _, isAgent := o.(*v1alpha1.NodeAgent); isAgent {
					return apierrors.NewConflict(schema.GroupResource{Resource: "nodeagents"}, o.GetName(), errors.New("its agent wrote it"))
				}
				return inner.Patch(ctx, o, p, opts...)
			},
			Create: func(ctx context.Context, inner client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if _, isMachine := o.(*clusterv1.Machine); isMachine && c.create != nil {
					return c.create
				}
				return inner.Create(ctx, o, opts...)
			},
		}))
		told := events.NewFakeRecorder(10)
		raced.Recorder = told
		result, err := raced.Reconcile(t.Context(), request)
		if !errors.Is(err, c.want) || err == nil && result.RequeueAfter == 0 {
			t.Errorf("got %+v, %v; want %v, or that it looks again", result, err, c.want)
		}
		if c.create != nil {
			continue
		}
		select {
		case event := <-told.Events:
			if !strings.Contains(event, v1alpha1.ReasonMachineCreated) {
				t.Errorf("got event %s", event)
			}
		default:
			t.Error("a machine was made, and no event tells it")
		}
		if err := f.Client.Get(t.Context(), request.NamespacedName, f.pool); err != nil || ptr.Deref(f.pool.Status.Replicas, 0) != c.replicas {
			t.Errorf("the pool does not say that there is another machine: %+v, %v", f.pool.Status, err)
		}
	}
}
