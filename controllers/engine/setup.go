package engine

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
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

// Setup registers the adopter and, in the Embedded mode, Cluster API's reconcilers. The manager's cache and client must
// have been made with CacheOptions and ClientOptions. Check must have passed.
func Setup(ctx context.Context, mgr manager.Manager, options Options) error {
	options = options.withDefaults()
	if options.Server == nil {
		return errors.New("set up the engine: Options.Server is missing")
	}
	adopter, err := newAdopter(mgr, options)
	if err != nil {
		return err
	}
	if err := adopter.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("set up the adopter: %w", err)
	}
	if options.Mode == External {
		return nil
	}
	if err := setupReconcilers(ctx, mgr, options); err != nil {
		return fmt.Errorf("set up Cluster API's reconcilers: %w", err)
	}
	return nil
}

func newAdopter(mgr manager.Manager, options Options) (*adopter, error) {
	versions, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a discovery client: %w", err)
	}
	return &adopter{
		client: mgr.GetClient(),
		server: options.Server,
		version: func() (string, error) {
			info, err := versions.ServerVersion()
			if err != nil {
				return "", err
			}
			return info.GitVersion, nil
		},
	}, nil
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
		NewQueue:                machineQueue,
	})
}
