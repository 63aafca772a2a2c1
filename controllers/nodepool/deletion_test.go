package nodepool_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestMachinesAreDeletedAsThePoolSays, as it says it now, and nothing is written that is so already.
func TestMachinesAreDeletedAsThePoolSays(t *testing.T) {
	s := newSite(t)
	pool := s.pool("timed", 3)
	pool.Spec.Disruption.DrainTimeoutSeconds = ptr.To[int32](3600)
	s.create(pool)
	writes := map[string]int{}
	manager := s.reconciler(interceptor.NewClient(s.watcher(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, options ...client.PatchOption) error {
			if data, err := p.Data(o); err == nil && strings.Contains(string(data), `"deletion"`) {
				writes[o.GetName()]++
			}
			return c.Patch(ctx, o, p, options...)
		},
	}))
	round := func() {
		t.Helper()
		if _, err := manager.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("its machines are made", func() error {
		round()
		s.clusterAPI()
		if n := len(s.machines()); n != 3 {
			return fmt.Errorf("there are %d", n)
		}
		return s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady)
	})
	leaves := s.machines()[0]
	if err := s.Client.Delete(t.Context(), &leaves); err != nil {
		t.Fatal(err)
	}
	edits := func(drain, volumes *int32) func(*v1alpha1.NodePool) {
		return func(p *v1alpha1.NodePool) {
			p.Spec.Disruption.DrainTimeoutSeconds, p.Spec.Disruption.VolumeDetachTimeoutSeconds = drain, volumes
		}
	}
	for _, c := range []struct {
		reason         string
		edit           func(*v1alpha1.NodePool)
		drain, volumes int32
		writes         int
	}{
		{"they were made so", func(*v1alpha1.NodePool) {}, 3600, 300, 0},
		{"another drain timeout", edits(ptr.To[int32](60), nil), 60, 300, 1},
		{"what has nothing to do with it", func(p *v1alpha1.NodePool) { p.Spec.MaxReplicas = ptr.To[int32](9) }, 60, 300, 0},
		{"a paused pool changes nothing", func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(true); edits(nil, nil)(p) }, 60, 300, 0},
		{"it goes on, with none", func(p *v1alpha1.NodePool) { p.Spec.Paused = nil }, 0, 300, 1},
		{"none is what 0 says, too", edits(ptr.To[int32](0), ptr.To[int32](300)), 0, 300, 0},
		{"volumes are waited for as long as it takes", edits(nil, ptr.To[int32](0)), 0, 0, 1},
	} {
		update(s, pool, c.edit)
		clear(writes)
		round()
		round()
		for _, m := range s.machines() {
			got := m.Spec.Deletion
			if ptr.Deref(got.NodeDrainTimeoutSeconds, 0) != c.drain || ptr.Deref(got.NodeVolumeDetachTimeoutSeconds, -1) != c.volumes || ptr.Deref(got.NodeDeletionTimeoutSeconds, -1) != 0 {
				t.Errorf("%s: Machine %s, deleted %t, is to be deleted so: %+v", c.reason, m.Name, !m.DeletionTimestamp.IsZero(), got)
			}
			if writes[m.Name] != c.writes {
				t.Errorf("%s: Machine %s was written %d times, want %d", c.reason, m.Name, writes[m.Name], c.writes)
			}
		}
	}
	update(s, &s.machines()[1], func(m *clusterv1.Machine) { m.Spec.Deletion.NodeDrainTimeoutSeconds = ptr.To[int32](1) })
	round()
	if got := s.machines()[1].Spec.Deletion.NodeDrainTimeoutSeconds; got != nil {
		t.Errorf("what somebody wrote of one stays: %d", *got)
	}
}

// at is a round some time after the last.
func (d *drained) at(after time.Duration) time.Duration {
	d.t.Helper()
	d.clock.SetTime(d.clock.Now().Add(after))
	result, err := d.manager.Reconcile(d.t.Context(), d.request)
	if err != nil {
		d.t.Fatal(err)
	}
	return result.RequeueAfter
}

func (d *drained) isTold() bool { return d.agents()[0].Spec.Version == d.minor }

func drainTimeout(seconds int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Disruption.DrainTimeoutSeconds = ptr.To(seconds) }
}

// badDrains are mistakes in how long nodes are drained.
func badDrains() map[string]mistake {
	volumes := func(seconds int32) func(*v1alpha1.NodePool) {
		return func(p *v1alpha1.NodePool) { p.Spec.Disruption.VolumeDetachTimeoutSeconds = ptr.To(seconds) }
	}
	return map[string]mistake{
		"drained before it begins": {"time does not run back", drainTimeout(-1), "spec.disruption.drainTimeoutSeconds"},
		"drained for two years":    {"0 is as long as it takes", drainTimeout(63244800), "spec.disruption.drainTimeoutSeconds"},
		"detached before":          {"time does not run back", volumes(-1), "spec.disruption.volumeDetachTimeoutSeconds"},
	}
}

// TestANodeThatCannotBeDrainedIsChangedAfterItsTime: where the pool has none, never.
func TestANodeThatCannotBeDrainedIsChangedAfterItsTime(t *testing.T) {
	d := startDrained(t, "timed-out")
	d.budget.holds.Store(true)
	d.wants(d.minor)
	d.at(0)
	for range 3 {
		d.at(24 * time.Hour)
	}
	if d.isTold() {
		t.Fatal("it was changed with its pods, and nobody said that it may be")
	}

	paused := func(is bool) { update(d.site, d.pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(is) }) }
	paused(true)
	d.at(time.Second)
	update(d.site, d.pool, drainTimeout(600))
	paused(false)
	if d.at(0); d.isTold() {
		t.Fatal("it was changed with its pods as the pause ended in which nobody asked them to go")
	}
	const most = 600 * time.Second
	d.at(most - 5*time.Second)
	blocked := meta.FindStatusCondition(d.read().Conditions, v1alpha1.DrainBlockedCondition)
	want := d.clock.Now().Add(5 * time.Second).Truncate(time.Second).UTC().Format(time.RFC3339)
	if d.isTold() || blocked == nil || !strings.Contains(blocked.Message, "until "+want) {
		t.Fatalf("five seconds before its time is over, told %t: %+v, want it to name %s", d.isTold(), blocked, want)
	}
	if again := d.at(time.Second); again > 4*time.Second || again <= 0 {
		t.Errorf("four seconds before it is over it looks again after %s", again)
	}
	d.at(4 * time.Second)
	if cordoned, _ := d.cordoned(); !d.isTold() || !cordoned {
		t.Fatalf("its time is over: told %t, cordoned %t", d.isTold(), cordoned)
	}
	told := eventsOf(d.manager, v1alpha1.ReasonDrainTimedOut)
	if len(told) != 1 || !strings.Contains(told[0], d.node.Name) || !strings.Contains(told[0], "web/front-0") {
		t.Errorf("the events of it are %q", told)
	}
	d.eventually("it takes pods again", func() error {
		d.play()
		d.at(time.Second)
		if cordoned, _ := d.cordoned(); cordoned {
			return fmt.Errorf("it is cordoned")
		}
		return d.updated(1)
	})
	if again := eventsOf(d.manager, v1alpha1.ReasonDrainTimedOut); len(again) > 0 {
		t.Errorf("it is told again: %q", again)
	}
}

// TestANodeThatSomebodyCordonedHasItsTime from when it is drained, of which no Node tells.
func TestANodeThatSomebodyCordonedHasItsTime(t *testing.T) {
	d := startDrained(t, "timed-theirs", func(n *corev1.Node) { n.Spec.Unschedulable = true })
	d.budget.holds.Store(true)
	update(d.site, d.pool, drainTimeout(100))
	d.wants(d.minor)
	for _, c := range []struct {
		reason string
		after  time.Duration
		told   bool
	}{
		{"it begins", time.Hour, false}, {"it has a second left", 99 * time.Second, false},
		{"another manager begins anew", 10 * time.Second, false}, {"it goes on", 90 * time.Second, false}, {"its time is over", 10 * time.Second, true},
	} {
		if strings.Contains(c.reason, "another manager") {
			d.restart()
		}
		if d.at(c.after); d.isTold() != c.told {
			t.Fatalf("%s: told %t, want %t", c.reason, d.isTold(), c.told)
		}
	}
}

// read is the pool's status as it is.
func (d *drained) read() v1alpha1.NodePoolStatus {
	d.t.Helper()
	if err := d.Client.Get(d.t.Context(), d.request.NamespacedName, d.pool); err != nil {
		d.t.Fatal(err)
	}
	return d.pool.Status
}
