package app

import (
	"context"
	"fmt"
	"runtime"

	clientdiscovery "k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drover-dev/drover/controllers/adopter"
	"github.com/drover-dev/drover/controllers/artifact"
	"github.com/drover-dev/drover/controllers/discovery"
	"github.com/drover-dev/drover/controllers/engine"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/host"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/join"
	"github.com/drover-dev/drover/controllers/local"
	"github.com/drover-dev/drover/controllers/nodeagent"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/controllers/ownership"
	"github.com/drover-dev/drover/controllers/sides"
	"github.com/drover-dev/drover/controllers/stop"
)

// reconciler is what each package of controllers exports.
type reconciler interface {
	SetupWithManager(ctx context.Context, mgr ctrl.Manager) error
}

func addControllers(ctx context.Context, mgr ctrl.Manager, options Options) error {
	discoverer := discovery.New(mgr.GetAPIReader(), mgr.GetClient(), mgr.GetConfig(), options.Discovery)
	adopted, err := adopter.New(mgr, discoverer.Server)
	if err != nil {
		return fmt.Errorf("set up the adopter: %w", err)
	}
	if err := adopted.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("set up the adopter: %w", err)
	}
	if err := engine.Setup(ctx, mgr, engine.Options{Mode: engine.Mode(options.ClusterAPI)}); err != nil {
		return err
	}
	version, err := serverVersion(mgr)
	if err != nil {
		return err
	}
	for _, r := range reconcilers(mgr, discoverer, version, options) {
		if err := r.SetupWithManager(ctx, mgr); err != nil {
			return fmt.Errorf("set up %T: %w", r, err)
		}
	}
	return nil
}

// serverVersion asks the API server that the nodes talk to, for no longer than a check may take.
func serverVersion(mgr ctrl.Manager) (*nodepool.ServerVersion, error) {
	config := rest.CopyConfig(mgr.GetConfig())
	config.Timeout = checkTimeout
	asks, err := clientdiscovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("set up the question for the API server's version: %w", err)
	}
	return &nodepool.ServerVersion{Of: asks}, nil
}

func reconcilers(mgr ctrl.Manager, discoverer *discovery.Discoverer, version *nodepool.ServerVersion, options Options) []reconciler {
	client, live := mgr.GetClient(), mgr.GetAPIReader()
	here := sides.Of(mgr) // the nodes are of the cluster that the pools are in
	published := &infra.Published{}
	stops := &stop.Switch{Reader: mgr.GetCache(), Namespace: options.LeaderElectionNamespace}
	list := []reconciler{
		&nodepool.Reconciler{
			Client: client, APIReader: live, Workload: here, Discoverer: discoverer, Recorder: mgr.GetEventRecorder("drover-nodepool"),
			Drainer: &engine.Drainer{Management: client, Workload: here}, Stop: stops, ServerVersion: version,
		},
		&join.TokenReconciler{Management: here, Workload: here, Facts: discoverer, Published: published.Tell},
		&join.ApprovalReconciler{Management: here, Workload: here},
		&nodeagent.Reconciler{Management: here, Workload: here, Facts: discoverer, Stop: stops},
		&fence.Reconciler{Management: here, Workload: here},
		&ownership.Reconciler{Management: here},
	}
	if len(options.agents) > 0 {
		list = append(list, &host.Servers{Client: client, APIReader: live, Recorder: mgr.GetEventRecorder("drover-host"), AgentBinaries: options.agents, Published: published})
	}
	if options.LocalRoot == "" {
		return list
	}
	return append(list, &local.Provider{
		Client: client, APIReader: live, Recorder: mgr.GetEventRecorder("drover-local"),
		Root: options.LocalRoot, AgentBinary: options.agents[runtime.GOARCH], SharedBundles: options.SharedBundles, Published: published,
	})
}

// addArtifacts serves bundles and images from every replica.
func addArtifacts(mgr ctrl.Manager, options Options) error {
	return mgr.Add(&artifact.Server{
		Root: options.ArtifactRoot, BindAddress: options.ArtifactBindAddress,
		CertFile: options.ArtifactCertFile, KeyFile: options.ArtifactKeyFile,
		Log: mgr.GetLogger().WithName("artifact"),
	})
}
