package engine

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/controllers/clustercache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var _ clustercache.ClusterCache = &localCluster{}

// localCluster is a ClusterCache of one cluster: the manager's own, which every adopted Cluster stands for. All of
// these share the manager's client and cache, so a watch is set up once, whichever of them asks first.
type localCluster struct {
	client   client.Client
	uncached client.Client
	cache    cache.Cache
	config   *rest.Config
	prober   *prober

	mutex   sync.Mutex
	watched map[string]struct{}
}

func newLocalCluster(mgr manager.Manager, interval time.Duration) (*localCluster, error) {
	uncached, err := client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
	})
	if err != nil {
		return nil, err
	}
	probe, err := apiServerProbe(mgr)
	if err != nil {
		return nil, err
	}
	return &localCluster{
		client:   &nodeClient{Client: mgr.GetClient(), indexed: true},
		uncached: &nodeClient{Client: uncached},
		cache:    mgr.GetCache(),
		config:   mgr.GetConfig(),
		prober:   newProber(probe, interval),
		watched:  map[string]struct{}{},
	}, nil
}

// connected is nil when the key is an adopted Cluster's and the API server answered lately.
func (l *localCluster) connected(key client.ObjectKey) error {
	if key.Name != v1alpha1.AdoptedClusterName || !l.prober.connected() {
		return clustercache.ErrClusterNotConnected
	}
	return nil
}

// GetClient implements clustercache.ClusterCache.
func (l *localCluster) GetClient(_ context.Context, key client.ObjectKey) (client.Client, error) {
	return l.client, l.connected(key)
}

// GetReader implements clustercache.ClusterCache.
func (l *localCluster) GetReader(_ context.Context, key client.ObjectKey) (client.Reader, error) {
	return l.client, l.connected(key)
}

// GetUncachedClient implements clustercache.ClusterCache.
func (l *localCluster) GetUncachedClient(_ context.Context, key client.ObjectKey) (client.Client, error) {
	return l.uncached, l.connected(key)
}

// GetRESTConfig implements clustercache.ClusterCache.
func (l *localCluster) GetRESTConfig(_ context.Context, key client.ObjectKey) (*rest.Config, error) {
	return rest.CopyConfig(l.config), l.connected(key)
}

// Watch implements clustercache.ClusterCache. The cache lives as long as the manager, so a watch is added only once.
func (l *localCluster) Watch(_ context.Context, key client.ObjectKey, watcher clustercache.Watcher) error {
	if err := l.connected(key); err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if _, ok := l.watched[watcher.Name()]; ok {
		return nil
	}
	if err := watcher.Watch(l.cache); err != nil {
		return err
	}
	l.watched[watcher.Name()] = struct{}{}
	return nil
}

// GetHealthCheckingState implements clustercache.ClusterCache.
func (l *localCluster) GetHealthCheckingState(_ context.Context, key client.ObjectKey) clustercache.HealthCheckingState {
	if key.Name != v1alpha1.AdoptedClusterName {
		return clustercache.HealthCheckingState{}
	}
	return l.prober.state()
}

// GetClusterSource implements clustercache.ClusterCache: every adopted Cluster is enqueued when the connection comes
// or goes, and when the API server has not answered for as long as an option says.
func (l *localCluster) GetClusterSource(
	_ string, mapFunc func(context.Context, client.Object) []ctrl.Request, opts ...clustercache.GetClusterSourceOption,
) source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		l.prober.subscribe(failureDurations(opts), func() {
			clusters := &clusterv1.ClusterList{}
			if err := l.cache.List(ctx, clusters, client.MatchingLabels{v1alpha1.WatchFilterLabel: v1alpha1.WatchFilterValue}); err != nil {
				return // the cache is stopping
			}
			for i := range clusters.Items {
				for _, request := range mapFunc(ctx, &clusters.Items[i]) {
					queue.Add(request)
				}
			}
		})
		return nil
	})
}

func failureDurations(opts []clustercache.GetClusterSourceOption) []time.Duration {
	var durations []time.Duration
	for _, opt := range opts {
		if d, ok := opt.(clustercache.WatchForProbeFailure); ok {
			durations = append(durations, time.Duration(d))
		}
	}
	return durations
}
