package engine

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/adopter"
	"github.com/drover-dev/drover/controllers/caching"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

const (
	testServer = "https://10.88.0.1:6443"
	patience   = 2 * time.Minute
	poll       = 100 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.Run(m, apiserver.WithCRDs(simulated.CRDs()...)))
}

// startManager starts a manager and returns what ends it and waits for its end.
func startManager(t *testing.T, config *rest.Config, options ctrl.Options, setup func(context.Context, ctrl.Manager) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := setup(ctx, mgr); err != nil {
		t.Fatal(err)
	}
	return apiserver.RunManager(ctx, t, mgr, cancel)
}

// startEngine starts a manager with the engine and the adopter alone.
func startEngine(t *testing.T, server *apiserver.Server, restConfig *rest.Config) (stop func()) {
	t.Helper()
	return startEngineWith(t, server, restConfig, client.New)
}

// startEngineWith is startEngine with the manager's client made in another way.
func startEngineWith(t *testing.T, server *apiserver.Server, restConfig *rest.Config, newClient client.NewClientFunc) (stop func()) {
	t.Helper()
	return startManager(t, restConfig, ctrl.Options{
		Scheme: server.Scheme, Metrics: metricsserver.Options{BindAddress: "0"}, NewClient: newClient,
		Cache: caching.CacheOptions("drover-system"), Client: caching.ClientOptions(), Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	}, func(ctx context.Context, mgr ctrl.Manager) error {
		adopted, err := adopter.New(mgr, func(context.Context) (string, error) { return testServer, nil })
		if err != nil {
			return err
		}
		if err := adopted.SetupWithManager(ctx, mgr); err != nil {
			return err
		}
		return Setup(ctx, mgr, Options{})
	})
}

func startProvider(t *testing.T, server *apiserver.Server) {
	t.Helper()
	startManager(t, rest.CopyConfig(server.Config), ctrl.Options{
		Scheme: server.Scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Client:     client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	}, func(_ context.Context, mgr ctrl.Manager) error {
		return (&simulated.Provider{Client: mgr.GetClient()}).SetupWithManager(mgr)
	})
}

// eventually polls until check says there is nothing left to wait for, and fails with what it said last.
func eventually(t *testing.T, what string, check func(ctx context.Context) string) {
	t.Helper()
	var last string
	if err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == "", nil
	}); err != nil {
		t.Fatalf("%s: %s", what, last)
	}
}

func newPool(t *testing.T, c client.Client, namespace string) *v1alpha1.NodePool {
	t.Helper()
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "workers"}}
	pool.Spec.Template.Spec.Version = "v1.36.3"
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{
		APIGroup: simulated.Group, Kind: simulated.TemplateKind.Kind, Name: "small",
	}
	if err := c.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return pool
}

// getCluster waits for the adopted Cluster to be provisioned.
func getCluster(t *testing.T, c client.Client, namespace string) *clusterv1.Cluster {
	t.Helper()
	cluster := &clusterv1.Cluster{}
	eventually(t, "the adopted Cluster", func(ctx context.Context) string {
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.AdoptedClusterName}, cluster); err != nil {
			return err.Error()
		}
		if !ptr.Deref(cluster.Status.Initialization.ControlPlaneInitialized, false) {
			return fmt.Sprintf("is not initialized: %+v", cluster.Status.Conditions)
		}
		return ""
	})
	return cluster
}

// createMachine makes an infrastructure machine and a Machine as the nodepool controller does.
func createMachine(t testing.TB, c client.Client, cluster *clusterv1.Cluster, pool *v1alpha1.NodePool, name string) {
	t.Helper()
	labels := map[string]string{
		clusterv1.ClusterNameLabel: cluster.Name, v1alpha1.WatchFilterLabel: v1alpha1.WatchFilterValue,
		v1alpha1.PoolUIDLabel: string(pool.UID),
	}
	infrastructure := simulated.NewMachine(cluster.Namespace, name)
	infrastructure.SetLabels(labels)
	infrastructure.SetOwnerReferences([]metav1.OwnerReference{poolReference(pool)})
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
		Namespace: cluster.Namespace, Name: name, Labels: labels,
		Finalizers: []string{clusterv1.MachineFinalizer},
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: clusterv1.GroupVersion.String(), Kind: "Cluster", Name: cluster.Name, UID: cluster.UID},
			poolReference(pool),
		},
	}}
	machine.Spec.ClusterName = cluster.Name
	machine.Spec.Version = "v1.36.3"
	machine.Spec.Bootstrap.DataSecretName = ptr.To(name + v1alpha1.BootstrapSecretSuffix)
	machine.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{
		APIGroup: simulated.Group, Kind: simulated.MachineKind.Kind, Name: name,
	}
	machine.Spec.Deletion.NodeDeletionTimeoutSeconds = ptr.To[int32](10)
	for _, object := range []client.Object{infrastructure, machine} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func poolReference(pool *v1alpha1.NodePool) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "NodePool", Name: pool.Name, UID: pool.UID,
		BlockOwnerDeletion: ptr.To(true),
	}
}

func isGone(ctx context.Context, c client.Client, object client.Object) string {
	switch err := c.Get(ctx, client.ObjectKeyFromObject(object), object); {
	case apierrors.IsNotFound(err):
		return ""
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%T %s is still there", object, object.GetName())
}

func nodeNamed(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// adoptedObjects are the objects that stand for the cluster in a namespace, the Cluster first.
func adoptedObjects(namespace string) []client.Object {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.AdoptedClusterName}
	return []client.Object{
		&clusterv1.Cluster{ObjectMeta: meta}, &v1alpha1.AdoptedControlPlane{ObjectMeta: meta}, &v1alpha1.AdoptedCluster{ObjectMeta: meta},
	}
}
