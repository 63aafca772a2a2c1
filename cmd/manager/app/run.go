package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/controllers/caching"
	"github.com/drover-dev/drover/controllers/engine"
	"github.com/drover-dev/drover/version"
)

const (
	leaderElectionID = "manager.fleet.drover.dev"
	// shutdownTimeout is how long reconciles that are under way may take to end. A local machine's start or stop is
	// safe to cut off.
	shutdownTimeout = 30 * time.Second
	// reconcileTimeout is how long one reconcile may take: many times the longest, which makes 500 machines. It keeps one
	// that waits for what never comes (a cache that may not list a kind, for one) from holding its worker for ever.
	reconcileTimeout = 5 * time.Minute

	// The API server's own priority and fairness bounds what we ask; these only stop a runaway loop. The default of
	// 20 queries a second would make a pool of 500 machines take ten minutes.
	clientQPS   = 1000
	clientBurst = 2000
)

// To ask who reads the metrics and whether he may, and to be elected.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,namespace=drover-system,verbs=get;create;update

// Run runs the manager until the context ends. Its errors are sentences for whoever started it.
func Run(ctx context.Context, options Options) error {
	options, err := options.complete()
	if err != nil {
		return err
	}
	logger := setupLogging(os.Stderr, options.LogFormat, options.LogLevel)
	restConfig, err := loadConfig(options.Kubeconfig)
	if err != nil {
		return err
	}
	mgr, err := New(ctx, restConfig, options)
	if err != nil {
		return explain(err)
	}
	logger.Info("Started the manager", "version", version.Version, "clusterAPI", options.ClusterAPI, "localRoot", options.LocalRoot)
	if err := mgr.Start(ctx); err != nil {
		return explain(err)
	}
	logger.Info("Stopped the manager")
	return nil
}

// New makes a manager with all controllers, ready to be started. The options must be complete but for defaults.
func New(ctx context.Context, restConfig *rest.Config, options Options) (manager.Manager, error) {
	options, err := options.complete()
	if err != nil {
		return nil, err
	}
	scheme := newScheme()
	if err := checkCluster(ctx, restConfig, scheme, engine.Mode(options.ClusterAPI)); err != nil {
		return nil, err
	}
	restConfig = rest.CopyConfig(restConfig)
	restConfig.QPS, restConfig.Burst = clientQPS, clientBurst
	restConfig.UserAgent = "drover-manager/" + version.Version
	mgr, err := ctrl.NewManager(restConfig, managerOptions(options, scheme))
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	if err := addControllers(ctx, mgr, options); err != nil {
		return nil, err
	}
	return mgr, addEndpoints(mgr, options)
}

func managerOptions(options Options, scheme *runtime.Scheme) ctrl.Options {
	managerOptions := ctrl.Options{
		Scheme:                        scheme,
		Cache:                         caching.CacheOptions(options.LeaderElectionNamespace),
		Client:                        caching.ClientOptions(),
		LeaderElection:                options.LeaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       options.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true, // Run ends the process right after the manager
		HealthProbeBindAddress:        options.HealthProbeBindAddress,
		GracefulShutdownTimeout:       ptr.To(shutdownTimeout),
		Controller:                    config.Controller{SkipNameValidation: ptr.To(options.repeated), ReconciliationTimeout: reconcileTimeout},
		Metrics: metricsserver.Options{
			BindAddress:    options.MetricsBindAddress,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
			CertDir:        options.MetricsCertDir,
		},
	}
	if lease := options.leaseDuration; lease > 0 {
		managerOptions.LeaseDuration, managerOptions.RenewDeadline, managerOptions.RetryPeriod = ptr.To(lease), ptr.To(lease*2/3), ptr.To(lease/10)
	}
	return managerOptions
}

func loadConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		restConfig, err := ctrl.GetConfig()
		if err != nil {
			return nil, fmt.Errorf("there is no cluster to manage: %w: set --kubeconfig, or run in a Pod", err)
		}
		return restConfig, nil
	}
	restConfig, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the file of --kubeconfig: %w", err)
	}
	return restConfig, nil
}

// explain adds what to do to errors that a user causes.
func explain(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another process has the port; stop it, or set --metrics-bind-address, "+
			"--health-probe-bind-address or --artifact-bind-address", err)
	}
	return err
}
