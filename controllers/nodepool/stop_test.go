package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/stop"
)

// mayBeStopped has a manager look for the stop in the site's own namespace.
func (s *site) mayBeStopped(r *nodepool.Reconciler) {
	r.Stop = &stop.Switch{Reader: r.Client, Namespace: s.namespace}
}

// throws makes the ConfigMap that stops the site's fleet.
func (s *site) throws(reason string) *corev1.ConfigMap {
	s.t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.namespace, Name: v1alpha1.StopName, Annotations: map[string]string{v1alpha1.StopAnnotation: reason},
	}}
	s.create(object)
	return object
}

// waitsFor says which actions of a pool wait for the fleet to go on.
func (s *site) waitsFor(pool *v1alpha1.NodePool, why string, want ...string) error {
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		return err
	}
	var got []string
	if pool.Status.Disruption != nil {
		for _, d := range pool.Status.Disruption.Deferred {
			if d.Reason == planner.DeferredStopped && strings.HasSuffix(d.Message, why) {
				got = append(got, fmt.Sprintf("%s %d", d.Action, d.Count))
			}
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%q waits, want %q: %+v", got, want, pool.Status.Disruption)
	}
	return nil
}

// told are the revisions of the NodeAgents that there are, by name.
func (f *fleet) told() map[string]string {
	f.t.Helper()
	told := map[string]string{}
	for _, m := range f.machines() {
		agent := &v1alpha1.NodeAgent{}
		if err := f.Client.Get(f.t.Context(), client.ObjectKey{Name: m.Name}, agent); err != nil {
			f.t.Fatal(err)
		}
		told[m.Name] = agent.Spec.Revision
	}
	return told
}

func TestTheFleetIsStoppedAndGoesOn(t *testing.T) {
	f := startFleet(t, "stopped", 3)
	before := f.told()
	thrown := f.throws("a fire")
	f.eventually("the pool says so at once, with nothing to hold", func() error {
		return f.hasCondition(f.pool, v1alpha1.SuspendedCondition, v1alpha1.ReasonFleetStopped)
	})

	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		p.Spec.Replicas, p.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](2), ptr.To[int32](60)
	})
	f.eventually("what would be done waits", func() error { return f.waitsFor(f.pool, "stops the fleet: a fire", "Delete 1", "Update 3") })
	update(f.site, thrown, func(c *corev1.ConfigMap) { c.Annotations[v1alpha1.StopAnnotation] = "two fires" })
	f.eventually("and for the reason that there is now", func() error { return f.waitsFor(f.pool, "stops the fleet: two fires", "Delete 1", "Update 3") })
	if err := f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonFleetStopped); err != nil {
		t.Error(err)
	}
	if after := f.told(); len(after) != 3 || !maps.Equal(before, after) {
		t.Errorf("machines were changed, or are gone: %v, and before it was %v", after, before)
	}

	if err := f.Client.Delete(t.Context(), f.pool); err != nil {
		t.Fatal(err)
	}
	f.eventually("a pool that goes waits as well", func() error { return f.waitsFor(f.pool, "stops the fleet: two fires", "Delete 3") })
	if machines := f.machines(); len(machines) != 3 || slices.ContainsFunc(f.deletions(), func(leaves bool) bool { return leaves }) {
		t.Errorf("machines of a pool that goes went while the fleet is stopped: %d are left, %v", len(machines), f.deletions())
	}
	update(f.site, thrown, func(c *corev1.ConfigMap) { delete(c.Annotations, v1alpha1.StopAnnotation) })
	f.eventually("it goes on", func() error {
		f.clusterAPI()
		if left := f.machines(); len(left) > 0 {
			return fmt.Errorf("%d machines are left", len(left))
		}
		return nil
	})
}

// deletions says of each machine whether it is being deleted.
func (s *site) deletions() (list []bool) {
	for _, m := range s.machines() {
		list = append(list, !m.DeletionTimestamp.IsZero())
	}
	return list
}

func TestAStoppedFleetMakesWhatIsLacking(t *testing.T) {
	f := startFleet(t, "lacking", 1)
	thrown := f.throws("")
	f.eventually("it is stopped", func() error {
		return f.hasCondition(f.pool, v1alpha1.SuspendedCondition, v1alpha1.ReasonFleetStopped)
	})
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](2) })
	f.eventually("a second one is made", func() error { f.play(); return f.updated(2) })
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](60) })
	f.eventually("both wait to be changed", func() error { return f.waitsFor(f.pool, "stops the fleet", "Update 2") })
	if err := f.Client.Delete(t.Context(), thrown); err != nil {
		t.Fatal(err)
	}
	f.eventually("they are, when the ConfigMap is gone", func() error { f.play(); return f.updated(2) })
}

// TestADrainIsStopped where it is, and goes on from there. Whether the fleet is stopped may not be taken for no where nobody can tell.
func TestADrainIsStopped(t *testing.T) {
	d := startDrained(t, "halfway")
	unreadable := errors.New("etcdserver: request timed out")
	broken := false
	reader := interceptor.NewClient(d.watcher(), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
		if _, is := into.(*corev1.ConfigMap); is && broken {
			return unreadable
		}
		return c.Get(ctx, key, into, options...)
	}})
	d.manager.Stop = &stop.Switch{Reader: reader, Namespace: d.namespace}
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.round()
	asked := d.budget.asked.Load()
	if cordoned, _ := d.cordoned(); !cordoned || asked == 0 {
		t.Fatalf("the node is not drained: cordoned %t, asked %d times", cordoned, asked)
	}

	thrown := d.throws("a fire")
	d.budget.holds.Store(false)
	d.round()
	d.round()
	if cordoned, _ := d.cordoned(); !cordoned || d.budget.asked.Load() != asked {
		t.Errorf("in a stopped fleet pods are evicted, or come back: cordoned %t, asked %d times and %d before", cordoned, d.budget.asked.Load(), asked)
	}
	if err := d.waitsFor(d.pool, "stops the fleet: a fire", "Update 1"); err != nil {
		t.Error(err)
	}

	broken = true
	if _, err := d.manager.Reconcile(t.Context(), d.request); !errors.Is(err, unreadable) {
		t.Errorf("nobody can tell whether the fleet is stopped, and the round ends with %v", err)
	}
	if err := d.Client.Delete(t.Context(), thrown); err != nil {
		t.Fatal(err)
	}
	if _, err := d.manager.Reconcile(t.Context(), d.request); err == nil || d.budget.asked.Load() != asked {
		t.Errorf("pods are evicted and nobody can tell whether they may: %v, asked %d times and %d before", err, d.budget.asked.Load(), asked)
	}
	broken = false
	d.eventually("it goes on", func() error { d.round(); d.play(); return d.updated(1) })
	d.round()
	if cordoned, _ := d.cordoned(); cordoned {
		t.Error("the change is over, and the node is cordoned")
	}
}
