package fleets

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/controllers/clustercache"
	"sigs.k8s.io/cluster-api/controllers/remote"
	"sigs.k8s.io/cluster-api/core/reconcilers/cluster"
	"sigs.k8s.io/cluster-api/core/reconcilers/machine"
	"sigs.k8s.io/cluster-api/core/reconcilers/machinedeployment"
	"sigs.k8s.io/cluster-api/core/reconcilers/machineset"
	"sigs.k8s.io/cluster-api/feature"
	"sigs.k8s.io/cluster-api/util/index"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

const (
	// carried is the label that each Node gets: Cluster API carries those of this domain from a Machine onto its Node.
	carried = "node.cluster.x-k8s.io/tier"
	// Cluster API's own are 100 queries a second for its objects and 20 for a cluster's, and ten of each kind at once. They have those of
	// Drover's manager here, so that it is not its limits that are measured.
	qps, burst, concurrency = 1000, 2000, 50

	clusterName = "fleet"
)

// newClusterAPI is Cluster API's core with the reconcilers, the caches and the client of its own manager. Its cache keeps managed fields,
// which its MachineSets go by.
func newClusterAPI(ctx context.Context, restConfig *rest.Config) (manager.Manager, error) {
	if err := feature.MutableGates.Set("MachinePool=false"); err != nil {
		return nil, err
	}
	restConfig.QPS, restConfig.Burst = qps, burst
	secrets := []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}}
	mgr, err := ctrl.NewManager(restConfig, managerOptions(ctrl.Options{
		Scheme: newScheme(),
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: secrets, Unstructured: true}},
	}))
	if err != nil {
		return nil, err
	}
	if err := index.AddDefaultIndexes(ctx, mgr); err != nil {
		return nil, err
	}
	clusters, err := clustercache.SetupWithManager(ctx, mgr, clustercache.Options{
		SecretClient: mgr.GetAPIReader(),
		Cache:        clustercache.CacheOptions{Indexes: []clustercache.CacheOptionsIndex{clustercache.NodeProviderIDIndex}},
		Client: clustercache.ClientOptions{
			QPS: qps, Burst: burst, UserAgent: remote.DefaultClusterAPIUserAgent("fleets"),
			Cache: clustercache.ClientCacheOptions{DisableFor: []client.Object{
				&corev1.ConfigMap{}, &corev1.Secret{}, &corev1.Pod{}, &appsv1.DaemonSet{}, &corev1.PersistentVolume{}, &storagev1.VolumeAttachment{},
			}},
		},
	}, controller.Options{MaxConcurrentReconciles: concurrency})
	if err != nil {
		return nil, err
	}
	atOnce := controller.Options{MaxConcurrentReconciles: concurrency}
	c, live := mgr.GetClient(), mgr.GetAPIReader()
	for _, reconciler := range []interface {
		SetupWithManager(context.Context, ctrl.Manager, controller.Options) error
	}{
		&cluster.Reconciler{Client: c, APIReader: live, ClusterCache: clusters, RemoteConnectionGracePeriod: 50 * time.Second},
		&machine.Reconciler{Client: c, APIReader: live, ClusterCache: clusters, RemoteConditionsGracePeriod: 5 * time.Minute},
		&machineset.Reconciler{Client: c, APIReader: live, ClusterCache: clusters},
		&machinedeployment.Reconciler{Client: c, APIReader: live},
	} {
		if err := reconciler.SetupWithManager(ctx, mgr, atOnce); err != nil {
			return nil, err
		}
	}
	return mgr, nil
}

// newScheme has the kinds that a manager of Cluster API's knows.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, clusterv1.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// deployment is a fleet of one MachineDeployment.
type deployment struct {
	server    *apiserver.Server
	namespace string
	object    *clusterv1.MachineDeployment
	changed   bool
}

// prepare makes a Cluster that is the one of the API server, with stand-ins for its infrastructure and control plane.
func (d *deployment) prepare(tb testing.TB) {
	tb.Helper()
	named := metav1.ObjectMeta{Namespace: d.namespace, Name: clusterName}
	infrastructure := &v1alpha1.AdoptedCluster{ObjectMeta: named}
	controlPlane := &v1alpha1.AdoptedControlPlane{ObjectMeta: named}
	infrastructure.Spec.ControlPlaneEndpoint = v1alpha1.APIEndpoint{Host: "10.88.0.1", Port: 6443}
	controlPlane.Spec.Version = version
	kubeconfig := d.kubeconfig(tb)
	create(tb, d.server, infrastructure, controlPlane, kubeconfig, simulated.NewTemplate(d.namespace, "small"),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "before"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "after"}})
	object := &clusterv1.Cluster{ObjectMeta: named}
	object.Spec.ControlPlaneEndpoint = clusterv1.APIEndpoint{Host: "10.88.0.1", Port: 6443}
	object.Spec.InfrastructureRef = reference("AdoptedCluster")
	object.Spec.ControlPlaneRef = reference("AdoptedControlPlane")
	create(tb, d.server, object)
	provisioned, initialized := infrastructure.DeepCopy(), controlPlane.DeepCopy()
	provisioned.Status.Initialization.Provisioned = ptr.To(true)
	initialized.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
	initialized.Status.ExternalManagedControlPlane = ptr.To(true)
	initialized.Status.Version = version
	for _, change := range [][2]client.Object{{infrastructure, provisioned}, {controlPlane, initialized}} {
		if err := d.server.Client.Status().Patch(tb.Context(), change[1], client.MergeFrom(change[0])); err != nil {
			tb.Fatal(err)
		}
	}
}

func reference(kind string) clusterv1.ContractVersionedObjectReference {
	return clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: kind, Name: clusterName}
}

// kubeconfig is the Secret by which Cluster API finds the cluster of a Cluster.
func (d *deployment) kubeconfig(tb testing.TB) *corev1.Secret {
	tb.Helper()
	path, err := d.server.KubeconfigFile()
	if err != nil {
		tb.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := clientcmd.Write(*config)
	if err != nil {
		tb.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: clusterName + "-kubeconfig", Labels: map[string]string{clusterv1.ClusterNameLabel: clusterName}},
		Type:       clusterv1.ClusterSecretType, Data: map[string][]byte{"value": text},
	}
}

func (d *deployment) apply(tb testing.TB, machines int) {
	tb.Helper()
	all := ptr.To(intstr.FromString("100%"))
	mine := map[string]string{clusterv1.ClusterNameLabel: clusterName, clusterv1.MachineDeploymentNameLabel: "workers"}
	d.object = &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.namespace, Name: "workers", Labels: map[string]string{clusterv1.ClusterNameLabel: clusterName},
		Annotations: map[string]string{clusterv1.MachineSetSkipPreflightChecksAnnotation: string(clusterv1.MachineSetPreflightCheckAll)},
	}}
	d.object.Spec = clusterv1.MachineDeploymentSpec{
		ClusterName: clusterName, Replicas: ptr.To(int32(machines)), //nolint:gosec // it is small
		Selector: metav1.LabelSelector{MatchLabels: mine},
		Rollout: clusterv1.MachineDeploymentRolloutSpec{Strategy: clusterv1.MachineDeploymentRolloutStrategy{
			Type:          clusterv1.RollingUpdateMachineDeploymentStrategyType,
			RollingUpdate: clusterv1.MachineDeploymentRolloutStrategyRollingUpdate{MaxUnavailable: all, MaxSurge: ptr.To(intstr.FromInt32(0))},
		}},
		Template: clusterv1.MachineTemplateSpec{
			ObjectMeta: clusterv1.ObjectMeta{Labels: mine},
			Spec: clusterv1.MachineSpec{
				ClusterName: clusterName, Version: version,
				Bootstrap:         clusterv1.Bootstrap{DataSecretName: ptr.To("before")},
				InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: simulated.Group, Kind: simulated.TemplateKind.Kind, Name: "small"},
			},
		},
	}
	create(tb, d.server, d.object)
}

// change names another bootstrap Secret, which is where a kubelet's configuration comes from.
func (d *deployment) change(tb testing.TB) {
	tb.Helper()
	base := d.object.DeepCopy()
	d.object.Spec.Template.Labels = map[string]string{carried: "web"}
	for name, value := range base.Spec.Template.Labels {
		d.object.Spec.Template.Labels[name] = value
	}
	d.object.Spec.Template.Spec.Bootstrap.DataSecretName = ptr.To("after")
	if err := d.server.Client.Patch(tb.Context(), d.object, client.MergeFrom(base)); err != nil {
		tb.Fatal(err)
	}
	d.changed = true
}

func (d *deployment) left(ctx context.Context) (int, error) {
	if err := d.server.Client.Get(ctx, client.ObjectKeyFromObject(d.object), d.object); err != nil {
		return 0, err
	}
	status, want := d.object.Status, int(*d.object.Spec.Replicas)
	replicas := int(ptr.Deref(status.Replicas, 0))
	if status.ObservedGeneration != d.object.Generation || replicas > want {
		return max(1, replicas-want), nil
	}
	is := min(replicas, int(ptr.Deref(status.ReadyReplicas, 0)), int(ptr.Deref(status.AvailableReplicas, 0)), int(ptr.Deref(status.UpToDateReplicas, 0)))
	if left := want - is; left > 0 || !d.changed {
		return left, nil
	}
	return unlabelled(ctx, d.server, carried, want)
}

// unlabelled is how many Nodes, of those there are to be, lack the label.
func unlabelled(ctx context.Context, server *apiserver.Server, label string, want int) (int, error) {
	nodes := &metav1.PartialObjectMetadataList{}
	nodes.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	err := server.Client.List(ctx, nodes, client.MatchingLabels{label: "web"})
	return want - len(nodes.Items), err
}

func create(tb testing.TB, server *apiserver.Server, objects ...client.Object) {
	tb.Helper()
	for _, object := range objects {
		if err := server.Client.Create(tb.Context(), object); err != nil {
			tb.Fatal(err)
		}
	}
}
