package engine

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/cluster-api/core/reconcilers/cluster"
	"sigs.k8s.io/cluster-api/core/reconcilers/machine"
	"sigs.k8s.io/cluster-api/feature"
	"sigs.k8s.io/cluster-api/util/index"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// gates turn off the kind that is not installed, and Cluster API's limit of one reconcile per object and second: a
// Machine is reconciled about six times until it is Ready. The queue of this package bounds the rate instead.
const gates = "MachinePool=false,ReconcilerRateLimiting=false"

// Setup registers Cluster API's reconcilers in the Embedded mode, and nothing in the External one. The manager's cache
// and client must have been made with the options of package caching. Check must have passed.
func Setup(ctx context.Context, mgr manager.Manager, options Options) error {
	options = options.withDefaults()
	if options.Mode == External {
		return nil
	}
	if err := setupReconcilers(ctx, mgr, options); err != nil {
		return fmt.Errorf("set up Cluster API's reconcilers: %w", err)
	}
	return nil
}

func setupReconcilers(ctx context.Context, mgr manager.Manager, options Options) error {
	if err := feature.MutableGates.Set(gates); err != nil {
		return err
	}
	if err := index.AddDefaultIndexes(ctx, mgr); err != nil {
		return err
	}
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &corev1.Node{}, index.NodeProviderIDField, index.NodeByProviderID); err != nil {
		return err
	}
	local, err := newLocalCluster(mgr, options.ProbeInterval)
	if err != nil {
		return err
	}
	if err := mgr.Add(local.prober); err != nil {
		return err
	}
	if err := setupHealthChecks(ctx, mgr, local); err != nil {
		return err
	}
	held := &heldClient{Client: mgr.GetClient(), written: written{live: mgr.GetAPIReader()}}
	if err := (&cluster.Reconciler{
		Client:                      held,
		APIReader:                   mgr.GetAPIReader(),
		ClusterCache:                local,
		WatchFilterValue:            v1alpha1.WatchFilterValue,
		RemoteConnectionGracePeriod: remoteConnectionGracePeriod,
	}).SetupWithManager(ctx, mgr, controller.Options{
		MaxConcurrentReconciles: clusterConcurrency,
		NewQueue:                clusterQueue,
	}); err != nil {
		return err
	}
	return (&machine.Reconciler{
		Client:                      held,
		APIReader:                   mgr.GetAPIReader(),
		ClusterCache:                local,
		WatchFilterValue:            v1alpha1.WatchFilterValue,
		RemoteConditionsGracePeriod: remoteConditionsGracePeriod,
	}).SetupWithManager(ctx, mgr, controller.Options{
		MaxConcurrentReconciles: options.MachineConcurrency,
		NewQueue:                held.coalesced.newborns.through(waitingForDrains(ctx, mgr.GetClient(), machineQueue)),
	})
}
