package nodepool_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	flag.Parse()
	// The tests wait for the API server more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(apiserver.Run(m))
}

const settleTimeout = 60 * time.Second

var versions atomic.Int32

// site is a namespace with all that a pool of it needs: a version with a bundle, a template and a Cluster. Its managers see no
// other namespace unless told to, so that tests with a site of their own run side by side.
type site struct {
	*apiserver.Server
	t         *testing.T
	namespace string
	version   string
	template  string
	watching  client.WithWatch
	// beside are other namespaces that its managers see.
	beside []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	return newLoneSite(t)
}

// newLoneSite is the same for a test that has one already, or that counts what the whole process does while no other test runs.
func newLoneSite(t *testing.T) *site {
	t.Helper()
	server := apiserver.Shared(t)
	s := &site{Server: server, t: t, namespace: server.Namespace(t), version: fmt.Sprintf("v1.36.%d", versions.Add(1)), template: "small"}
	s.create(bundle(s.version, s.version))
	s.create(&v1alpha1.LocalMachineTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.template},
		Spec: v1alpha1.LocalMachineTemplateSpec{Template: v1alpha1.LocalMachineTemplateResource{
			ObjectMeta: clusterv1.ObjectMeta{Labels: map[string]string{"from": "template"}},
			Spec:       v1alpha1.LocalMachineSpec{CPUs: ptr.To[int32](2)},
		}},
	})
	s.adoptCluster()
	return s
}

// another is a version of another minor one, which no other site has.
func (s *site) another(minor int) string {
	return strings.Replace(s.version, "v1.36.", fmt.Sprintf("v1.%d.", minor), 1)
}

func bundle(name, version string) *v1alpha1.NodeBundle {
	return &v1alpha1.NodeBundle{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.NodeBundleSpec{KubernetesVersion: version, Artifacts: []v1alpha1.Artifact{{
			Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:" + strings.Repeat("ab", 32),
		}}},
	}
}

func (s *site) adoptCluster() {
	cluster := &clusterv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: v1alpha1.AdoptedClusterName, Labels: map[string]string{v1alpha1.ManagedLabel: "true"},
		},
		Spec: clusterv1.ClusterSpec{InfrastructureRef: clusterv1.ContractVersionedObjectReference{
			APIGroup: v1alpha1.GroupVersion.Group, Kind: "AdoptedCluster", Name: v1alpha1.AdoptedClusterName,
		}},
	}
	s.create(cluster)
	cluster.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
	cluster.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
	if err := s.Client.Status().Update(s.t.Context(), cluster); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) create(object client.Object) {
	s.t.Helper()
	if err := s.Client.Create(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
	if object.GetNamespace() == "" {
		s.t.Cleanup(func() { _ = s.Client.Delete(context.Background(), object) })
	}
}

func (s *site) pool(name string, replicas int32) *v1alpha1.NodePool {
	return &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: v1alpha1.NodePoolSpec{Replicas: &replicas, Template: v1alpha1.NodeTemplate{Spec: v1alpha1.NodeTemplateSpec{
			Version:           s.version,
			InfrastructureRef: v1alpha1.InfrastructureReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: "LocalMachineTemplate", Name: s.template},
		}}},
	}
}

func (s *site) machines() []clusterv1.Machine {
	s.t.Helper()
	list := &clusterv1.MachineList{}
	if err := s.Client.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func (s *site) localMachines() []v1alpha1.LocalMachine {
	s.t.Helper()
	list := &v1alpha1.LocalMachineList{}
	if err := s.Client.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// update changes an object as it is on the server now.
func update[T client.Object](s *site, object T, edit func(T)) {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 10*time.Millisecond, settleTimeout, true, func(ctx context.Context) (bool, error) {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return false, err
		}
		edit(object)
		err := s.Client.Update(ctx, object)
		return err == nil, ignoreConflict(err)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// eventually polls until check has nothing to complain about.
func (s *site) eventually(what string, check func() error) {
	s.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(s.t.Context(), 20*time.Millisecond, settleTimeout, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		s.t.Fatalf("%s: %v", what, last)
	}
}

// hasCondition checks a pool's condition on the server.
func (s *site) hasCondition(pool *v1alpha1.NodePool, conditionType, reason string) error {
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		return err
	}
	c := meta.FindStatusCondition(pool.Status.Conditions, conditionType)
	if c == nil || c.Reason != reason {
		return fmt.Errorf("want %s with %s, got %+v", conditionType, reason, pool.Status.Conditions)
	}
	return nil
}

// clusterAPI does to the namespace's Machines what Cluster API does in the end: ready, or gone.
func (s *site) clusterAPI() {
	s.t.Helper()
	machines := s.machines()
	for i := range machines {
		m := &machines[i]
		if !m.DeletionTimestamp.IsZero() {
			s.finishDeletion(m)
			continue
		}
		for _, conditionType := range []string{clusterv1.MachineReadyCondition, clusterv1.MachineAvailableCondition} {
			meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{Type: conditionType, Status: metav1.ConditionTrue, Reason: "Test"})
		}
		if err := s.Client.Status().Update(s.t.Context(), m); ignoreConflict(client.IgnoreNotFound(err)) != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) finishDeletion(m *clusterv1.Machine) {
	s.t.Helper()
	infra := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}
	if err := s.Client.Delete(s.t.Context(), infra); client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	base := m.DeepCopy()
	m.Finalizers = without(m.Finalizers, clusterv1.MachineFinalizer)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(s.t.Context(), m, patch); ignoreConflict(client.IgnoreNotFound(err)) != nil {
		s.t.Fatal(err)
	}
}

func without(list []string, item string) []string {
	var rest []string
	for _, one := range list {
		if one != item {
			rest = append(rest, one)
		}
	}
	return rest
}

// reconciler is one without a cache or a manager, as a process just started.
func (s *site) reconciler(c client.Client) *nodepool.Reconciler {
	return &nodepool.Reconciler{Client: c, APIReader: c, Discoverer: discovered, Recorder: events.NewFakeRecorder(1000), CreateConcurrency: 1}
}

var discovered = nodepool.DiscovererFunc(func(context.Context) (v1alpha1.ClusterSettings, error) {
	return v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "server", ClientCA: "client"}, nil
})

// startManager runs the controller as the manager does.
func (s *site) startManager(with ...func(*nodepool.Reconciler)) *events.FakeRecorder {
	s.t.Helper()
	return s.startManagerAs(s.Config, with...)
}

func (s *site) startManagerAs(user *rest.Config, with ...func(*nodepool.Reconciler)) *events.FakeRecorder {
	s.t.Helper()
	mgr, recorder := s.newManager(user), events.NewFakeRecorder(1000)
	r := &nodepool.Reconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Discoverer: discovered, Recorder: recorder}
	for _, edit := range with {
		edit(r)
	}
	if err := r.SetupWithManager(s.t.Context(), mgr); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	apiserver.RunManager(ctx, s.t, mgr, cancel)
	return recorder
}

// newManager is one that sees the site's namespace, and those beside it.
func (s *site) newManager(user *rest.Config) ctrl.Manager {
	s.t.Helper()
	seen := map[string]cache.Config{s.namespace: {}}
	for _, namespace := range s.beside {
		seen[namespace] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(user, ctrl.Options{
		Scheme: s.Scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Cache: cache.Options{DefaultNamespaces: seen},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return mgr
}

func (s *site) node(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
