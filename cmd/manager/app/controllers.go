package app

import (
	"context"
	"fmt"
	"runtime"

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
	"github.com/drover-dev/drover/controllers/sides"
)

// reconciler is what each package of controllers exports.
type reconciler interface {
	SetupWithManager(ctx context.Context, mgr ctrl.Manager) error
}

func addControllers(ctx context.Context, mgr ctrl.Manager, options Options) error {
	discoverer := discovery.New(mgr.GetAPIReader(), mgr.GetConfig(), options.Discovery)
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
	for _, r := range reconcilers(mgr, discoverer, options) {
		if err := r.SetupWithManager(ctx, mgr); err != nil {
			return fmt.Errorf("set up %T: %w", r, err)
		}
	}
	return nil
}

func reconcilers(mgr ctrl.Manager, discoverer *discovery.Discoverer, options Options) []reconciler {
	client, live := mgr.GetClient(), mgr.GetAPIReader()
	here := sides.Of(mgr) // the nodes are of the cluster that the pools are in
	published := &infra.Published{}
	list := []reconciler{
		&nodepool.Reconciler{
			Client: client, APIReader: live, Discoverer: discoverer, Recorder: mgr.GetEventRecorder("drover-nodepool"),
		},
		&join.TokenReconciler{Management: here, Workload: here, Published: published.Tell},
		&join.ApprovalReconciler{Management: here, Workload: here},
		&nodeagent.Reconciler{Management: here, Workload: here},
		&fence.Reconciler{Management: here, Workload: here},
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
