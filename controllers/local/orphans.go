package local

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/local/machine"
)

// orphanInterval is the time between two looks for orphans. They are rare: somebody stripped a finalizer, or the API
// server's data is not what it was.
const orphanInterval = 10 * time.Minute

var orphansRemoved = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "drover_local_orphans_removed_total",
	Help: "Local machines removed from the host because their LocalMachine was gone.",
})

func init() { metrics.Registry.MustRegister(orphansRemoved) }

// orphanage finds machines on the host whose LocalMachine is gone, and removes them.
type orphanage struct {
	// reader reads live: a cache that is not filled yet would make every machine an orphan.
	reader   client.Reader
	machines *machine.Machines
	log      logr.Logger
}

// Start implements manager.Runnable. It needs to be the leader, as whoever makes machines.
func (o *orphanage) Start(ctx context.Context) error {
	wait.JitterUntilWithContext(ctx, func(ctx context.Context) { o.collect(ctx) }, orphanInterval, 0.1, true)
	return nil
}

// collect removes the orphans there are and returns how many. What cannot be known for sure is left alone.
func (o *orphanage) collect(ctx context.Context) int {
	// Directories first: a machine that is made meanwhile has a LocalMachine, but may not be in an older list of them.
	keys, err := o.machines.List()
	if err != nil {
		o.log.Error(err, "Failed to look for machines without a LocalMachine")
		return 0
	}
	if len(keys) == 0 {
		return 0
	}
	known := &v1alpha1.LocalMachineList{}
	if err := o.reader.List(ctx, known); err != nil {
		o.log.Error(err, "Failed to list the LocalMachines, so no machine was taken for an orphan")
		return 0
	}
	wanted := make(map[types.NamespacedName]bool, len(known.Items))
	for i := range known.Items {
		wanted[client.ObjectKeyFromObject(&known.Items[i])] = true
	}
	removed := 0
	for _, key := range keys {
		if !wanted[key] && o.remove(ctx, key) {
			removed++
		}
	}
	return removed
}

// remove removes one machine of ours that no LocalMachine stands for.
func (o *orphanage) remove(ctx context.Context, key types.NamespacedName) bool {
	ctx, cancel := context.WithTimeout(ctx, infra.ReconcileTimeout)
	defer cancel()
	log := o.log.WithValues("machine", key)
	uid, err := o.machines.UID(key)
	if err != nil || uid == "" {
		log.Info("Left a directory alone: it has no record of a machine", "root", o.machines.Root)
		return false
	}
	if err := o.reader.Get(ctx, key, &v1alpha1.LocalMachine{}); !apierrors.IsNotFound(err) {
		return false
	}
	if err := o.machines.Remove(ctx, key); err != nil {
		log.Error(err, "Failed to remove a machine whose LocalMachine is gone")
		return false
	}
	orphansRemoved.Inc()
	log.Info("Removed a machine whose LocalMachine is gone", "uid", uid)
	return true
}
