package nodepool_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiversion "k8s.io/apimachinery/pkg/version"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

// guarded is a node that a budget keeps from being empty, until it lets go. How the real one words that, package engine tests.
type guarded struct {
	holds atomic.Bool
	// leaves says that another pod was evicted, and is not gone yet.
	leaves atomic.Bool
	asked  atomic.Int32
}

func (g *guarded) Drain(context.Context, *clusterv1.Cluster, *clusterv1.Machine, metav1.Time) (string, error) {
	g.asked.Add(1)
	if !g.holds.Load() {
		return "", nil
	}
	leaving := ""
	if g.leaves.Load() {
		leaving = "* Pod web/front-1: deletionTimestamp set, but still not removed from the Node\n"
	}
	return "Drain not completed yet (started at 2026-01-01T00:00:00Z):\n" + leaving + "* Pod web/front-0: cannot evict pod as it would violate the pod's disruption budget. " +
		"The disruption budget front needs 2 healthy pods and has 2 currently", nil
}

// drained is a fleet of one node, without a manager: its rounds are the test's.
type drained struct {
	*fleet
	clock   *clocktesting.FakePassiveClock
	budget  *guarded
	request ctrl.Request
	manager *nodepool.Reconciler
	node    *corev1.Node
	minor   string
}

func startDrained(t *testing.T, name string, changes ...func(*corev1.Node)) *drained {
	t.Helper()
	d := &drained{clock: clocktesting.NewFakePassiveClock(time.Now()), fleet: &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}, budget: &guarded{}}
	d.minor = d.another(37)
	d.create(bundle(d.minor, d.minor))
	d.pool = d.site.pool(name, 1)
	d.create(d.pool)
	d.request = ctrl.Request{NamespacedName: client.ObjectKeyFromObject(d.pool)}
	d.restart()
	d.eventually("it runs what it was made from", func() error { d.round(); d.play(); return d.updated(1) })
	machine := d.machines()[0]
	d.node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: machine.Name, Labels: map[string]string{v1alpha1.PoolUIDLabel: string(d.pool.UID)}}}
	for _, change := range changes {
		change(d.node)
	}
	d.create(d.node)
	machine.Status.NodeRef.Name = machine.Name
	if err := d.Client.Status().Update(t.Context(), &machine); err != nil {
		t.Fatal(err)
	}
	return d
}

// restart has another manager in the place of the one there was.
func (d *drained) restart() {
	d.manager = d.reconciler(d.Client)
	d.manager.Drainer = d.budget
	d.manager.Clock = d.clock
}

// round is one round, so long after the last that a drain is tried again that was stuck.
func (d *drained) round() {
	d.t.Helper()
	d.clock.SetTime(d.clock.Now().Add(20 * time.Second))
	if _, err := d.manager.Reconcile(d.t.Context(), d.request); err != nil {
		d.t.Fatal(err)
	}
}

// cordoned says whether the Node takes no pods, and whether that is our doing.
func (d *drained) cordoned() (cordoned, ours bool) {
	d.t.Helper()
	if err := d.Client.Get(d.t.Context(), client.ObjectKeyFromObject(d.node), d.node); err != nil {
		d.t.Fatal(err)
	}
	_, ours = d.node.Annotations[v1alpha1.CordonedAnnotation]
	return d.node.Spec.Unschedulable, ours
}

func (d *drained) wants(version string) {
	d.t.Helper()
	update(d.site, d.pool, func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Version = version })
}

func TestANodeIsDrainedForAnotherMinorVersion(t *testing.T) {
	d := startDrained(t, "minor")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	if cordoned, ours := d.cordoned(); !cordoned || !ours {
		t.Fatal("the Node takes pods while it is drained")
	}
	if err := d.hasCondition(d.pool, v1alpha1.DrainBlockedCondition, v1alpha1.ReasonPodDisruptionBudget); err != nil {
		t.Fatal(err)
	}
	blocked := meta.FindStatusCondition(d.pool.Status.Conditions, v1alpha1.DrainBlockedCondition).Message
	progress := meta.FindStatusCondition(d.pool.Status.Conditions, v1alpha1.ReconcilingCondition)
	if want := d.node.Name + ": pod web/front-0 may not be evicted: PodDisruptionBudget web/front needs 2 healthy pods"; !strings.Contains(blocked, want) {
		t.Errorf("the pool says %q, want %q", blocked, want)
	}
	if progress == nil || !strings.Contains(progress.Message, d.node.Name+" is drained before") {
		t.Errorf("its progress is %+v", progress)
	}
	if a := d.agents()[0]; a.Generation != 1 {
		t.Fatalf("the NodeAgent was changed before the node was empty: %+v", a.Spec)
	}

	d.restart() // the next manager knows whose cordon it is
	d.budget.holds.Store(false)
	d.round()
	if a := d.agents()[0]; a.Spec.Version != d.minor {
		t.Fatalf("the empty node was not changed: %+v", a.Spec)
	}
	for range 3 {
		d.play() // up to its probation
		d.round()
		if cordoned, _ := d.cordoned(); !cordoned {
			t.Fatalf("it takes pods before the change has proved itself: %+v", d.agents()[0].Status)
		}
	}
	d.eventually("it is changed, and takes pods again", func() error {
		d.play()
		d.round()
		if cordoned, ours := d.cordoned(); cordoned || ours {
			return errors.New("it is cordoned")
		}
		return d.updated(1)
	})

	asked := d.budget.asked.Load()
	d.wants(d.version)
	d.eventually("it goes back to the older minor version, drained as well", func() error { d.round(); d.play(); return d.updated(1) })
	if d.budget.asked.Load() == asked {
		t.Error("it was not drained for that")
	}
	if cordoned, ours := d.cordoned(); cordoned || ours {
		t.Error("it is still cordoned")
	}
}

func TestANodeThatWentBackTakesPodsAgain(t *testing.T) {
	d := startDrained(t, "minor-refused")
	d.refuses = func(a *v1alpha1.NodeAgent) bool { return a.Spec.Version == d.minor }
	d.wants(d.minor)
	d.eventually("it went back, and takes pods", func() error {
		d.round()
		d.play()
		if cordoned, ours := d.cordoned(); cordoned || ours {
			return errors.New("it is cordoned")
		}
		return d.hasCondition(d.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack)
	})
}

func TestANodeThatSomebodyCordonedStaysCordoned(t *testing.T) {
	d := startDrained(t, "minor-theirs", func(n *corev1.Node) { n.Spec.Unschedulable = true })
	d.wants(d.minor)
	d.eventually("it is changed", func() error { d.round(); d.play(); return d.updated(1) })
	if cordoned, ours := d.cordoned(); !cordoned || ours {
		t.Errorf("cordoned %t, by us %t; want it as it was", cordoned, ours)
	}
}

func TestAnEditThatIsTakenBackEndsItsDrain(t *testing.T) {
	d := startDrained(t, "minor-undone")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	d.wants(d.version)
	d.eventually("it takes pods again", func() error {
		d.round()
		if cordoned, ours := d.cordoned(); cordoned || ours {
			return errors.New("it is cordoned")
		}
		return d.updated(1)
	})
	if a := d.agents()[0]; a.Generation != 1 {
		t.Errorf("it was changed: %+v", a.Spec)
	}
}

// TestANodeIsNotKeptEmptyForAChangeThatCannotBeMade: the bundle is gone, or the version was mistyped, while it is drained.
func TestANodeIsNotKeptEmptyForAChangeThatCannotBeMade(t *testing.T) {
	d := startDrained(t, "minor-unknown")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	d.wants("v1.0.99")
	d.eventually("it takes pods again", func() error {
		d.round()
		if cordoned, ours := d.cordoned(); cordoned || ours {
			return errors.New("it is cordoned")
		}
		return d.hasCondition(d.pool, v1alpha1.StalledCondition, v1alpha1.ReasonBundleNotFound)
	})
	d.wants(d.minor)
	d.budget.holds.Store(false)
	d.eventually("it is changed", func() error { d.round(); d.play(); return d.updated(1) })
}

// TestADrainOutlivesItsStatus: the Node says that it is cordoned for a change when the pool's status, put back from a backup, does not.
func TestADrainOutlivesItsStatus(t *testing.T) {
	d := startDrained(t, "minor-forgotten")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	if err := d.Client.Get(t.Context(), d.request.NamespacedName, d.pool); err != nil {
		t.Fatal(err)
	}
	d.pool.Status.Updating = nil
	if err := d.Client.Status().Update(t.Context(), d.pool); err != nil {
		t.Fatal(err)
	}
	d.round()
	if err := d.Client.Get(t.Context(), d.request.NamespacedName, d.pool); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.pool.Status.Updating, []string{d.node.Name}) {
		t.Errorf("%v are changed, want %s", d.pool.Status.Updating, d.node.Name)
	}
	d.budget.holds.Store(false)
	d.eventually("it is changed", func() error { d.round(); d.play(); return d.updated(1) })
}

// TestANodeIsToBeUncordonedAndItsPoolCannotBeWritten: nobody is changed, and the status has yet to name whose cordon it is.
func TestANodeIsToBeUncordonedAndItsPoolCannotBeWritten(t *testing.T) {
	d := startDrained(t, "minor-unwritten")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	d.wants(d.version)
	d.pool.Status.Updating = nil
	if err := d.Client.Status().Update(t.Context(), d.pool); err != nil {
		t.Fatal(err)
	}
	tried := false
	raced := interceptor.NewClient(d.watcher(), interceptor.Funcs{
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			tried = true
			return apierrors.NewConflict(schema.GroupResource{Resource: "nodepools"}, d.pool.Name, errors.New("somebody wrote it"))
		},
	})
	manager := d.reconciler(raced)
	manager.Drainer = d.budget
	if result, err := manager.Reconcile(t.Context(), d.request); err != nil || result.RequeueAfter == 0 || !tried {
		t.Errorf("got %+v (%v), tried to write %t; want that it looks again", result, err, tried)
	}
}

// server is an API server of some version.
type server string

func (s server) ServerVersion() (*apiversion.Info, error) {
	return &apiversion.Info{GitVersion: string(s)}, nil
}

func TestAKubeletIsNeverNewerThanTheAPIServer(t *testing.T) {
	d := startDrained(t, "too-new")
	for _, c := range []struct {
		reason  string
		is      server
		refused bool
	}{
		{"it is of the minor version before", "v1.36.9-gke.1", true},
		{"it is of the same minor version, whatever the patch", "v1.37.0", false},
	} {
		d.manager.ServerVersion = &nodepool.ServerVersion{Of: c.is}
		d.wants(d.minor)
		d.round()
		err := d.hasCondition(d.pool, v1alpha1.StalledCondition, v1alpha1.ReasonVersionTooNew)
		if refused := err == nil; refused != c.refused {
			t.Errorf("%s: refused %t, want %t: %v", c.reason, refused, c.refused, err)
		}
		if changed := d.agents()[0].Generation > 1; changed == c.refused {
			t.Errorf("%s: the node was changed: %t", c.reason, changed)
		}
	}
}

// mute is an API server that does not tell its version.
type mute struct {
	err   error
	asked int
}

func (m *mute) ServerVersion() (*apiversion.Info, error) {
	m.asked++
	return nil, m.err
}

// TestAnAPIServerThatDoesNotTellItsVersion holds up what depends on it and nothing else.
func TestAnAPIServerThatDoesNotTellItsVersion(t *testing.T) {
	d := startDrained(t, "mute")
	for _, c := range []struct {
		reason, conditionType string
		err                   error
	}{
		{"a user has to allow it", v1alpha1.StalledCondition, apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(`cannot get path "/version"`))},
		{"it may tell it in a moment", v1alpha1.ReconcilingCondition, errors.New("it is away")},
	} {
		says := &mute{err: c.err}
		d.manager.ServerVersion = &nodepool.ServerVersion{Of: says}
		d.wants(d.version)
		d.round()
		if err := d.updated(1); err != nil {
			t.Errorf("%s: the version that the node runs was compared before: %v", c.reason, err)
		}
		d.wants(d.minor)
		result, err := d.manager.Reconcile(t.Context(), d.request)
		if err != nil || result.RequeueAfter < leastRetry {
			t.Errorf("%s: got %+v, %v", c.reason, result, err)
		}
		if err := d.hasCondition(d.pool, c.conditionType, v1alpha1.ReasonServerVersionUnknown); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		} else if message := meta.FindStatusCondition(d.pool.Status.Conditions, c.conditionType).Message; !strings.Contains(message, c.err.Error()) {
			t.Errorf("%s: it says %s", c.reason, message)
		}
		if d.agents()[0].Generation > 1 {
			t.Fatalf("%s: the node was changed", c.reason)
		}
		if says.asked != 1 {
			t.Errorf("%s: it was asked %d times; each may take long to fail", c.reason, says.asked)
		}
	}
	update(d.site, d.pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](0) })
	d.round()
	if m := d.machines()[0]; m.DeletionTimestamp.IsZero() {
		t.Error("a machine that is one too many stays")
	}
}

// TestRefusedEvictionsAreNotAskedForAtEachEvent, of which the other machines of a pool raise many.
func TestRefusedEvictionsAreNotAskedForAtEachEvent(t *testing.T) {
	d := startDrained(t, "minor-stuck")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	for _, c := range []struct {
		reason string
		after  time.Duration
		leaves bool
		asked  int32
		again  time.Duration
	}{
		{"the first time they are refused", 0, false, 1, 20 * time.Second},
		{"an event comes a moment later", time.Second, false, 1, 20 * time.Second},
		{"it is time", 19 * time.Second, true, 2, 2 * time.Second},
		{"a pod leaves", 2 * time.Second, false, 3, 20 * time.Second},
		{"an event comes again", 2 * time.Second, false, 3, 20 * time.Second},
	} {
		d.clock.SetTime(d.clock.Now().Add(c.after))
		d.budget.leaves.Store(c.leaves)
		result, err := d.manager.Reconcile(t.Context(), d.request)
		if err != nil || result.RequeueAfter != c.again || d.budget.asked.Load() != c.asked {
			t.Fatalf("%s: asked %d times, want %d; again after %s, want %s (%v)", c.reason, d.budget.asked.Load(), c.asked, result.RequeueAfter, c.again, err)
		}
		if err := d.hasCondition(d.pool, v1alpha1.DrainBlockedCondition, v1alpha1.ReasonPodDisruptionBudget); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		}
	}
}
