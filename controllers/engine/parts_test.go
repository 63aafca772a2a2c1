package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/controllers/clustercache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestProberCountsOnlyProbesThatSucceeded(t *testing.T) {
	start := time.Unix(1000, 0)
	now := start
	p := newProber(nil, time.Second)
	p.now = func() time.Time { return now }
	told := 0
	p.subscribe([]time.Duration{time.Minute}, func() { told++ })
	step := func(reason string, after time.Duration, err error, connected bool, success time.Time, wantTold int) {
		t.Helper()
		now = now.Add(after)
		for _, notify := range p.record(err) {
			notify()
		}
		if p.connected() != connected || !p.state().LastProbeSuccessTime.Equal(success) || told != wantTold {
			t.Errorf("%s: connected %v, last success %v, told %d times; want %v, %v, %d", reason,
				p.connected(), p.state().LastProbeSuccessTime, told, connected, success, wantTold)
		}
	}
	down := errors.New("down")
	step("a failure before the first success connects nothing", 0, down, false, time.Time{}, 0)
	step("the first success connects", time.Second, nil, true, start.Add(time.Second), 1)
	for range failureThreshold - 1 {
		step("a few failures are borne", time.Second, down, true, start.Add(time.Second), 1)
	}
	step("too many are not", time.Second, down, false, start.Add(time.Second), 2)
	step("success is long past", time.Hour, down, false, start.Add(time.Second), 3)
	step("that is told once", time.Hour, down, false, start.Add(time.Second), 3)
	step("success connects again", time.Second, nil, true, now.Add(time.Second), 4)
}

type fakeWatcher struct {
	clustercache.Watcher
	name  string
	calls *int
}

func (f fakeWatcher) Name() string { return f.name }

func (f fakeWatcher) Watch(cache.Cache) error { *f.calls++; return nil }

func TestLocalClusterWatchesOncePerName(t *testing.T) {
	p := newProber(nil, time.Second)
	l := &localCluster{prober: p, watched: map[string]struct{}{}}
	a, b := client.ObjectKey{Namespace: "a", Name: v1alpha1.AdoptedClusterName}, client.ObjectKey{Namespace: "b", Name: v1alpha1.AdoptedClusterName}
	calls := 0
	if err := l.Watch(t.Context(), a, fakeWatcher{name: "nodes", calls: &calls}); !errors.Is(err, clustercache.ErrClusterNotConnected) {
		t.Errorf("before a probe: got %v, want not connected", err)
	}
	p.record(nil)
	for _, key := range []client.ObjectKey{a, b, a} {
		if err := l.Watch(t.Context(), key, fakeWatcher{name: "nodes", calls: &calls}); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("two namespaces' Clusters set up %d watches, want one: they share a cache", calls)
	}
	if _, err := l.GetClient(t.Context(), client.ObjectKey{Namespace: "a", Name: "other"}); !errors.Is(err, clustercache.ErrClusterNotConnected) {
		t.Errorf("another Cluster: got %v, want not connected", err)
	}
}

func TestChangesNothing(t *testing.T) {
	for _, test := range []struct {
		reason, patch string
		want          bool
	}{
		{"an empty patch", `{}`, true},
		{"only the lock", `{"metadata":{"resourceVersion":"7"}}`, true},
		{"only the lock and the UID", `{"metadata":{"resourceVersion":"7","uid":"x"}}`, true},
		{"a label", `{"metadata":{"labels":{"a":"b"},"resourceVersion":"7"}}`, false},
		{"a cordon", `{"spec":{"unschedulable":true}}`, false},
		{"both", `{"metadata":{"resourceVersion":"7"},"spec":{"unschedulable":true}}`, false},
		{"a removal", `{"metadata":null}`, false},
		{"something else", `[1]`, false},
	} {
		if got := changesNothing([]byte(test.patch)); got != test.want {
			t.Errorf("%s: %s changes nothing: %v, want %v", test.reason, test.patch, got, test.want)
		}
	}
}

func TestWithoutNeedlessLock(t *testing.T) {
	for _, test := range []struct {
		reason, patch, want string
	}{
		{"an added annotation needs none", `{"metadata":{"annotations":{"a":"b"},"resourceVersion":"7"}}`, `{"metadata":{"annotations":{"a":"b"}}}`},
		{"nor does a label, and the UID stays", `{"metadata":{"labels":{"a":""},"resourceVersion":"7","uid":"x"}}`, `{"metadata":{"labels":{"a":""},"uid":"x"}}`},
		{"what is taken away may have been set anew", `{"metadata":{"annotations":{"a":null},"resourceVersion":"7"}}`, ""},
		{"all labels go", `{"metadata":{"labels":null,"resourceVersion":"7"}}`, ""},
		{"a directive may take away", `{"metadata":{"labels":{"$patch":"replace","a":"b"},"resourceVersion":"7"}}`, ""},
		{"lists are replaced as a whole", `{"metadata":{"finalizers":["a"],"resourceVersion":"7"}}`, ""},
		{"taints are such a list", `{"metadata":{"annotations":{"a":"b"},"resourceVersion":"7"},"spec":{"taints":null}}`, ""},
		{"something else", `[1]`, ""},
	} {
		want := test.want
		if want == "" {
			want = test.patch
		}
		if got := string(withoutNeedlessLock([]byte(test.patch))); got != want {
			t.Errorf("%s: %s became %s, want %s", test.reason, test.patch, got, want)
		}
	}
}

func TestClusterBudgetAllowsABurstAndThenSpreads(t *testing.T) {
	b := newBudget(clusterInterval, clusterBurst)
	item, now := request("a"), time.Unix(1000, 0)
	for range clusterBurst {
		if wait := b.wait(item, now); wait != 0 {
			t.Fatalf("within the burst the wait is %s, want none: adoption would be slow", wait)
		}
	}
	if wait := b.wait(item, now); wait != clusterInterval {
		t.Errorf("after the burst the wait is %s, want %s", wait, clusterInterval)
	}
	if wait := b.wait(request("b"), now); wait != 0 {
		t.Errorf("another Cluster waits %s, want it to have a budget of its own", wait)
	}
}

func TestSpacingDelaysOnlyWhatWasReconciledJustNow(t *testing.T) {
	s := newSpacing()
	item, now := request("a"), time.Unix(1000, 0)
	if wait := s.wait(item, now); wait > 0 {
		t.Errorf("an item never seen waits %s, want no wait", wait)
	}
	s.taken(item, now)
	if wait := s.wait(item, now.Add(machineSpacing/2)); wait != machineSpacing/2 {
		t.Errorf("half-way the wait is %s, want %s", wait, machineSpacing/2)
	}
	s.taken(request("b"), now.Add(2*time.Minute))
	if _, kept := s.last[item]; kept {
		t.Error("an item that went long ago is remembered for ever")
	}
}

// TestADrainIsLookedAtSoonUnlessItIsStuck, by what Cluster API asks for and what the Machine says of its drain.
func TestADrainIsLookedAtSoonUnlessItIsStuck(t *testing.T) {
	const (
		leaves  = "x:\n* Pod a/b: deletionTimestamp set, but still not removed from the Node"
		refused = "x:\n* Pod a/c: failed to evict Pod, admission webhook \"w\" denied the request: no"
	)
	for _, c := range []struct {
		reason, because, message string
		asked, want              time.Duration
	}{
		{"pods leave", clusterv1.MachineDeletingDrainingNodeReason, leaves, 20 * time.Second, 5 * time.Second},
		{"they may be what another waits for", clusterv1.MachineDeletingDrainingNodeReason, leaves + refused[2:], 20 * time.Second, 5 * time.Second},
		{"an eviction was refused", clusterv1.MachineDeletingDrainingNodeReason, refused, 20 * time.Second, 20 * time.Second},
		{"it does not wait for longer than it asks for", clusterv1.MachineDeletingDrainingNodeReason, refused, time.Second, time.Second},
		{"nor for longer than Cluster API waits today", clusterv1.MachineDeletingDrainingNodeReason, refused, time.Hour, 20 * time.Second},
		{"the drain is over", clusterv1.MachineDeletingWaitingForVolumeDetachReason, refused, 20 * time.Second, 5 * time.Second},
		{"another Machine waits for an object", "", "", 30 * time.Second, 5 * time.Second},
	} {
		waits := &recordedWaits{}
		reader := deletedSaying(t, c.because, c.message).Build()
		made := waitingForDrains(t.Context(), reader, func(string, workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
			return &queue{TypedRateLimitingInterface: waits}
		})("machine", nil)
		item := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "n", Name: "m"}}
		if c.because == "" {
			item.Name = "another"
		}
		made.AddAfter(item, c.asked)
		if waits.last != c.want {
			t.Errorf("%s: it is looked at after %s, want %s", c.reason, waits.last, c.want)
		}
	}
}

// recordedWaits is a queue that only remembers the last wait.
type recordedWaits struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	last time.Duration
}

func (r *recordedWaits) AddAfter(_ reconcile.Request, wait time.Duration) { r.last = wait }

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: name}}
}

func TestWrittenReadsLiveOnceAfterAConflict(t *testing.T) {
	w, key := &written{}, client.ObjectKey{Namespace: "a", Name: "m"}
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "m", ResourceVersion: "9"}}
	w.record(machine, apierrors.NewConflict(schema.GroupResource{}, "m", nil))
	if !w.takeConflict(key) || w.takeConflict(key) {
		t.Error("want exactly one live read after a conflict")
	}
	w.record(machine, errors.New("no answer"))
	if w.takeConflict(key) || w.machines.IsOlder(machine) {
		t.Error("a write without an answer says nothing about the version")
	}
}

// deleted is a LocalMachine n/m that is deleted, and its Machine, which says that of its deletion.
func deleted(t *testing.T, reason string) *fake.ClientBuilder { return deletedSaying(t, reason, "") }

func deletedSaying(t *testing.T, reason, message string) *fake.ClientBuilder {
	t.Helper()
	now := metav1.NewTime(time.Unix(1, 0))
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "m", UID: "u", DeletionTimestamp: &now, Finalizers: []string{"a/b"}}}
	machine.Status.Conditions = []metav1.Condition{{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: now}}
	local := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "m", DeletionTimestamp: &now, Finalizers: []string{"a/b"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: "m", UID: "u", Controller: ptr.To(true)}}}}
	scheme := runtime.NewScheme()
	if err := errors.Join(clusterv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(machine, local)
}

// localMachine is the LocalMachine n/m as Cluster API is shown it.
func localMachine(t *testing.T, held *heldClient) (*unstructured.Unstructured, error) {
	t.Helper()
	seen := &unstructured.Unstructured{}
	seen.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("LocalMachine"))
	return seen, held.Get(t.Context(), client.ObjectKey{Namespace: "n", Name: "m"}, seen)
}

func TestALocalMachineSeemsToStayUntilItsMachineIsDrained(t *testing.T) {
	for reason, hidden := range map[string]bool{
		clusterv1.MachineDeletingDrainingNodeReason:                     true,
		clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason: false,
	} {
		seen, err := localMachine(t, &heldClient{Client: deleted(t, reason).Build()})
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.GetDeletionTimestamp().IsZero(); got != hidden {
			t.Errorf("while the Machine says %s: the deletion is hidden: %v, want %v", reason, got, hidden)
		}
	}
}

// A read that fails does not say that the Machine is gone, and with it the drain.
func TestALocalMachineWhoseMachineCannotBeReadIsNotShown(t *testing.T) {
	broken := errors.New("no answer")
	c := deleted(t, clusterv1.MachineDeletingDrainingNodeReason).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, ok := o.(*clusterv1.Machine); ok {
				return broken
			}
			return c.Get(ctx, key, o, opts...)
		},
	}).Build()
	if seen, err := localMachine(t, &heldClient{Client: c}); !errors.Is(err, broken) {
		t.Errorf("Cluster API is shown %v, %v", seen.GetDeletionTimestamp(), err)
	}
}
