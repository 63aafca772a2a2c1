package nodepool_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/test/recorded"
)

// recordedRevisions are written in the place of the pool's revisions, in the order in which they were made.
var recordedRevisions = []string{"37f63386b9", "5cbb3ee66b", "b1946ac924", "591785b794"}

// recorded compares the pool with what the files of config/argocd have for that state. others are names besides the usual to
// write something else for: old, new and so on.
func (f *fleet) recorded(state string, others ...string) {
	f.t.Helper()
	names := slices.Concat(others, []string{f.namespace, "default", v1alpha1.MachineNamePrefix(f.pool), "workers-0a1b2-", f.version, "v1.36.5"})
	for i, revision := range f.revisionsInOrder() {
		names = append(names, revision, recordedRevisions[i])
	}
	kind := v1alpha1.GroupVersion.WithKind("NodePool")
	recorded.Is(f.t, f.Client, kind, client.ObjectKeyFromObject(f.pool), state, names...)
}

// revisionsInOrder are the pool's revisions, the present one last where none is stored.
func (f *fleet) revisionsInOrder() []string {
	f.t.Helper()
	list := &appsv1.ControllerRevisionList{}
	if err := f.Client.List(f.t.Context(), list, client.InNamespace(f.namespace)); err != nil {
		f.t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(a.Revision, b.Revision) })
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Labels[v1alpha1.RevisionLabel])
	}
	if err := f.Client.Get(f.t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil {
		f.t.Fatal(err)
	}
	if now := f.pool.Status.Revision; now != "" && !slices.Contains(names, now) {
		names = append(names, now)
	}
	return names
}

// TestThePoolsThatArgoCDIsToReadAreAsRecorded takes a pool through its life, a round at a time.
func TestThePoolsThatArgoCDIsToReadAreAsRecorded(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("workers", 3)
	manager := f.reconciler(f.Client)
	round := func() { f.round(manager) }
	edit := func(change func(*v1alpha1.NodePool)) { update(f.site, f.pool, change) }
	settles := func() {
		t.Helper()
		f.eventually("all is as the pool wants it", func() error { round(); f.play(); return f.updated(3) })
	}
	paused := func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(true) }
	resumed := func(p *v1alpha1.NodePool) { p.Spec.Paused = nil }

	f.create(f.pool)
	f.recorded("just-applied")
	round()
	round()
	f.recorded("joining")
	settles()
	f.recorded("healthy")

	edit(maxPods(42))
	f.recorded("edited")
	f.eventually("a node is in probation", func() error {
		round()
		for _, a := range f.agents() {
			if a.Status.Phase == v1alpha1.PhaseProbation {
				return nil
			}
		}
		f.play()
		return fmt.Errorf("%v are changed", f.underWay())
	})
	f.recorded("updating")
	settles()

	f.refuses = func(a *v1alpha1.NodeAgent) bool { return ptr.Deref(a.Spec.Kubelet.MaxPods, 0) == 43 }
	edit(maxPods(43))
	f.eventually("a node went back", func() error {
		round()
		f.play()
		return f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack)
	})
	f.recorded("rolled-back")
	edit(maxPods(42))
	settles()

	edit(paused)
	round()
	f.recorded("paused")
	edit(maxPods(44))
	round()
	f.recorded("paused-undone")
	edit(func(p *v1alpha1.NodePool) { resumed(p); maxPods(42)(p) })
	settles()

	edit(func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Bundle = "none" })
	round()
	f.recorded("stalled")
	edit(func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Bundle = "" })
	settles()

	f.unready(f.machines()[0])
	round()
	f.recorded("unready")
	edit(func(p *v1alpha1.NodePool) { p.Spec.Repair.Ladder = []v1alpha1.RepairRung{v1alpha1.RepairReplace} })
	f.unready(f.machines()[1])
	round()
	f.recorded("repair-frozen")
	edit(func(p *v1alpha1.NodePool) { p.Spec.Repair = v1alpha1.NodePoolRepair{} })
	settles()

	edit(func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](2) })
	round()
	f.recorded("scaling-down")
	if err := f.Client.Delete(t.Context(), f.pool); err != nil {
		t.Fatal(err)
	}
	round()
	f.recorded("deleting")
	edit(paused)
	round()
	f.recorded("deleting-paused")
}

// TestThePoolWhoseDrainIsBlockedIsAsRecorded: a PodDisruptionBudget keeps a node from being empty.
func TestThePoolWhoseDrainIsBlockedIsAsRecorded(t *testing.T) {
	d := startDrained(t, "workers")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	d.recorded("drain-blocked", d.minor, "v1.37.2")
}

// TestTheBundleThatArgoCDIsToReadIsAsRecorded: nothing becomes of it.
func TestTheBundleThatArgoCDIsToReadIsAsRecorded(t *testing.T) {
	s := newSite(t)
	key := client.ObjectKey{Name: s.version}
	recorded.Is(t, s.Client, v1alpha1.GroupVersion.WithKind("NodeBundle"), key, "applied", s.version, "v1.36.5")
}

func (f *fleet) round(by *nodepool.Reconciler) {
	f.t.Helper()
	if _, err := by.Reconcile(f.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)}); err != nil {
		f.t.Fatal(err)
	}
}

// unready has Cluster API say that a machine is not well, as its agent does.
func (f *fleet) unready(m clusterv1.Machine) {
	f.t.Helper()
	for conditionType, reason := range map[string]string{
		clusterv1.MachineReadyCondition: "NotReady", clusterv1.MachineAvailableCondition: "NotReady", v1alpha1.MachineAgentHealthyCondition: v1alpha1.ReasonHung,
	} {
		meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{Type: conditionType, Status: metav1.ConditionFalse, Reason: reason,
			Message: "kubelet: Hung: kubelet did not answer for 30s"})
	}
	if err := f.Client.Status().Update(f.t.Context(), &m); err != nil {
		f.t.Fatal(err)
	}
}
