package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/discovery"
	"github.com/drover-dev/drover/test/apicount"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

const (
	// writesPerMachine is the budget from create to Ready. What a real agent and provider cause comes on top of the
	// simulated ones: two certificate requests approved, the token deleted, the provider's own writes.
	writesPerMachine = 20
	testVersion      = "v1.36.3"
	patience         = 3 * time.Minute
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.Run(m, apiserver.WithCRDs(simulated.CRDs()...)))
}

func testOptions() Options {
	options := DefaultOptions().ForTests()
	options.Discovery = discovery.Overrides{
		Server: "https://10.88.0.1:6443", DNSServers: []string{"10.96.0.10"}, PodCIDRs: []string{"10.244.0.0/16"},
	}
	return options
}

func startManager(tb testing.TB, restConfig *rest.Config) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := New(ctx, restConfig, testOptions())
	if err != nil {
		tb.Fatal(err)
	}
	return apiserver.RunManager(ctx, tb, mgr, cancel)
}

func startProvider(tb testing.TB, server *apiserver.Server) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := simulated.NewManager(server.Config, server.Scheme)
	if err != nil {
		tb.Fatal(err)
	}
	apiserver.RunManager(ctx, tb, mgr, cancel)
}

// createPool applies a bundle, a template and a pool.
func createPool(tb testing.TB, c client.Client, namespace string, replicas int32) *v1alpha1.NodePool {
	tb.Helper()
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "workers"}}
	pool.Spec.Replicas = ptr.To(replicas)
	pool.Spec.Template.Spec.Version = testVersion
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{
		APIGroup: simulated.Group, Kind: simulated.TemplateKind.Kind, Name: "small",
	}
	for _, object := range []client.Object{newBundle(), simulated.NewTemplate(namespace, "small"), pool} {
		if err := c.Create(tb.Context(), object); client.IgnoreAlreadyExists(err) != nil {
			tb.Fatal(err)
		}
	}
	return pool
}

func newBundle() *v1alpha1.NodeBundle {
	bundle := &v1alpha1.NodeBundle{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}}
	bundle.Spec.KubernetesVersion = testVersion
	bundle.Spec.Artifacts = []v1alpha1.Artifact{{
		Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:" + strings.Repeat("ab", 32),
	}}
	return bundle
}

// waitReady waits until the pool says that as many machines are ready.
func waitReady(tb testing.TB, c client.Client, pool *v1alpha1.NodePool, replicas int32) {
	tb.Helper()
	err := wait.PollUntilContextTimeout(tb.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return false, err
		}
		return ptr.Deref(pool.Status.ReadyReplicas, 0) == replicas && ptr.Deref(pool.Status.Replicas, 0) == replicas, nil
	})
	if err != nil {
		machines := &clusterv1.MachineList{}
		_ = c.List(context.Background(), machines, client.InNamespace(pool.Namespace), client.Limit(1))
		for i := range machines.Items {
			tb.Logf("a Machine: %+v", machines.Items[i].Status.Conditions)
		}
		tb.Fatalf("the pool did not become ready: %v: %+v", err, pool.Status.Conditions)
	}
}

// mustBeUpToDate checks that all Machines that are ready say what they are to their pool: it is written with what makes them ready.
func mustBeUpToDate(tb testing.TB, c client.Client, namespace string) {
	tb.Helper()
	list := &clusterv1.MachineList{}
	if err := c.List(tb.Context(), list, client.InNamespace(namespace)); err != nil {
		tb.Fatal(err)
	}
	for _, m := range list.Items {
		if !meta.IsStatusConditionTrue(m.Status.Conditions, clusterv1.MachineUpToDateCondition) {
			tb.Errorf("Machine %s is ready and not up to date: %+v", m.Name, m.Status.Conditions)
		}
	}
}

// startGarbageCollector starts what all tests of this binary share.
func startGarbageCollector(tb testing.TB) {
	tb.Helper()
	garbageCollector.Do(func() { apiserver.Shared(tb).StartControllerManager(tb, "garbage-collector-controller") })
}

var garbageCollector sync.Once

func waitGone(tb testing.TB, c client.Client, pool *v1alpha1.NodePool) {
	tb.Helper()
	var left string
	err := wait.PollUntilContextTimeout(tb.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		left = ""
		for _, list := range []client.ObjectList{
			&v1alpha1.NodePoolList{}, &clusterv1.MachineList{}, &clusterv1.ClusterList{}, &v1alpha1.AdoptedControlPlaneList{}, &corev1.SecretList{},
		} {
			if err := c.List(ctx, list, client.InNamespace(pool.Namespace)); err != nil {
				return false, err
			}
			left += count(list)
		}
		for _, list := range []client.ObjectList{&corev1.NodeList{}, &v1alpha1.NodeAgentList{}} {
			if err := c.List(ctx, list); err != nil {
				return false, err
			}
			left += count(list)
		}
		return left == "", nil
	})
	if err != nil {
		tb.Fatalf("the pool left something: %v: %s", err, left)
	}
}

// count names the list if it is not empty.
func count(list client.ObjectList) string {
	if n := meta.LenList(list); n > 0 {
		return fmt.Sprintf("%d in %T; ", n, list)
	}
	return ""
}

// fleet brings a pool to ready and reports the time and the writes that it took.
func fleet(tb testing.TB, machines int32) (time.Duration, map[apicount.Key]int) {
	tb.Helper()
	server := apiserver.Shared(tb)
	namespace := server.Namespace(tb)
	startProvider(tb, server)
	var counter apicount.Counter
	counted := rest.CopyConfig(server.Config)
	counter.Wrap(counted)
	startManager(tb, counted)

	start := time.Now()
	pool := createPool(tb, server.Client, namespace, machines)
	waitReady(tb, server.Client, pool, machines)
	took, counts := time.Since(start), counter.Counts()
	mustBeUpToDate(tb, server.Client, namespace)
	if err := server.Client.Delete(tb.Context(), pool); err != nil {
		tb.Fatal(err)
	}
	waitGone(tb, server.Client, pool)
	return took, counts
}

func TestFleetComesAndGoes(t *testing.T) {
	const machines = 20
	startGarbageCollector(t)
	took, counts := fleet(t, machines)
	var table strings.Builder
	if err := apicount.Print(&table, counts, machines); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d machines were Ready after %s\n%s", machines, took, table.String())
	if got := apicount.Writes(counts); got > writesPerMachine*machines {
		t.Errorf("the manager wrote %d times for %d machines, want at most %d for each:\n%s", got, machines, writesPerMachine, table.String())
	}
	for _, name := range priorityQueues(t) {
		t.Errorf("the controller %s has a queue that may keep the manager from ending: package queueing says which one to give it", name)
	}
}

// priorityQueues are the controllers of this process, so far as they have had work, whose queue is controller-runtime's
// own: that counts by priority.
func priorityQueues(t *testing.T) []string {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen, priority := 0, map[string]bool{}
	for _, family := range families {
		if family.GetName() != "workqueue_depth" {
			continue
		}
		for _, queue := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range queue.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			seen++
			if labels["priority"] != "" {
				priority[labels["controller"]] = true
			}
		}
	}
	if seen == 0 {
		t.Error("no queue is counted")
	}
	return slices.Sorted(maps.Keys(priority))
}

// BenchmarkFleet brings a pool of 500 simulated machines to ready, once for each iteration, and prints the manager's
// writes: go test -run '^$' -bench Fleet -benchtime 1x ./cmd/manager/app.
func BenchmarkFleet(b *testing.B) {
	const machines = 500
	startGarbageCollector(b)
	for b.Loop() {
		took, counts := fleet(b, machines)
		b.ReportMetric(took.Seconds(), "s/ready")
		b.ReportMetric(float64(apicount.Writes(counts))/machines, "writes/machine")
		if err := apicount.Print(os.Stdout, counts, machines); err != nil {
			b.Fatal(err)
		}
	}
}
