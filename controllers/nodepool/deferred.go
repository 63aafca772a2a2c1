package nodepool

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var (
	deferredActions = &deferrals{pools: map[types.NamespacedName]*v1alpha1.NodePoolDisruption{}}

	deferredMetric = prometheus.NewDesc("drover_nodepool_deferred",
		"Machines of a NodePool to which something would be done that has to wait, by what that is and what it waits for.",
		[]string{"namespace", "name", "action", "reason"}, nil)
)

func init() { metrics.Registry.MustRegister(deferredActions) }

// deferrals are what was deferred in the last round of each pool, for whoever scrapes the manager. They are not changed.
type deferrals struct {
	mu    sync.Mutex
	pools map[types.NamespacedName]*v1alpha1.NodePoolDisruption
}

// Describe implements prometheus.Collector.
func (d *deferrals) Describe(to chan<- *prometheus.Desc) { to <- deferredMetric }

// Collect implements prometheus.Collector.
func (d *deferrals) Collect(to chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for pool, status := range d.pools {
		for _, one := range status.Deferred {
			to <- prometheus.MustNewConstMetric(deferredMetric, prometheus.GaugeValue, float64(one.Count),
				pool.Namespace, pool.Name, one.Action, one.Reason)
		}
	}
}

// set replaces what is deferred in a pool; with nothing there is nothing to count.
func (d *deferrals) set(pool types.NamespacedName, status *v1alpha1.NodePoolDisruption) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if status == nil {
		delete(d.pools, pool)
		return
	}
	d.pools[pool] = status
}
