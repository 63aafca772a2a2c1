package nodepool_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// deferredMetric is what a scrape tells about a pool, by action and reason.
func deferredMetric(t *testing.T, pool client.ObjectKey) map[string]float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "drover_nodepool_deferred" {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["namespace"] == pool.Namespace && labels["name"] == pool.Name {
				counts[labels["action"]+" "+labels["reason"]] = metric.GetGauge().GetValue()
			}
		}
	}
	return counts
}

func TestWhatIsDeferredReachesStatusEventsAndMetrics(t *testing.T) {
	s := newSite(t)
	pool, r := s.pool("deferred", 2), s.reconciler(s.Client)
	pool.Spec.Paused = ptr.To(true)
	s.create(pool)
	key := client.ObjectKeyFromObject(pool)
	round := func() {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
		if err := s.Client.Get(t.Context(), key, pool); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	tells := func(reason string, status *v1alpha1.NodePoolDisruption, metric map[string]float64) {
		t.Helper()
		if diff := cmp.Diff(status, pool.Status.Disruption); diff != "" {
			t.Errorf("%s: the status (-want +got):\n%s", reason, diff)
		}
		if diff := cmp.Diff(metric, deferredMetric(t, key)); diff != "" {
			t.Errorf("%s: the metric (-want +got):\n%s", reason, diff)
		}
	}
	waits := func(count int32) *v1alpha1.NodePoolDisruption {
		return &v1alpha1.NodePoolDisruption{Deferred: []v1alpha1.DeferredAction{
			{Action: string(planner.Create), Count: count, Reason: planner.DeferredPaused, Message: "spec.paused is set"},
		}}
	}

	round()
	tells("two are lacking", waits(2), map[string]float64{"Create Paused": 2})
	version := pool.ResourceVersion
	round()
	if told := eventsOf(r, planner.DeferredPaused); len(told) != 1 || pool.ResourceVersion != version {
		t.Errorf("what still waits is told and written once: %q, version %s and then %s", told, version, pool.ResourceVersion)
	}
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](3) })
	round()
	tells("three are lacking", waits(3), map[string]float64{"Create Paused": 3})
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = nil })
	round()
	tells("they are made", nil, map[string]float64{})

	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Paused, p.Spec.Replicas = ptr.To(true), ptr.To[int32](4) })
	round()
	tells("another is lacking", waits(1), map[string]float64{"Create Paused": 1})
	update(s, pool, func(p *v1alpha1.NodePool) { p.Finalizers = nil })
	if err := s.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := s.Client.Get(t.Context(), key, pool); !apierrors.IsNotFound(err) {
		t.Fatalf("the pool is there, or not to be read: %v", err)
	}
	round()
	if left := deferredMetric(t, key); len(left) > 0 {
		t.Errorf("a pool that is gone is still counted: %v", left)
	}
}
