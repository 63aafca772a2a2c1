package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	v1beta1conditions "sigs.k8s.io/cluster-api/util/conditions/deprecated/v1beta1"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apicount"
	"github.com/drover-dev/drover/test/apiserver"
)

// reconciled is a Machine as a reconcile of Cluster API has read it, with the helper by which that will write it.
type reconciled struct {
	t       *testing.T
	held    *heldClient
	server  client.Client
	counter *apicount.Counter
	machine *clusterv1.Machine
	helper  *patch.Helper
}

// newReconciled makes a Machine, and reads it through a client whose requests go through the functions before they are counted.
func newReconciled(t *testing.T, functions interceptor.Funcs) *reconciled {
	t.Helper()
	server := apiserver.Shared(t)
	r := &reconciled{t: t, server: server.Client, counter: &apicount.Counter{}}
	counted := rest.CopyConfig(server.Config)
	r.counter.Wrap(counted)
	live, err := client.NewWithWatch(counted, client.Options{Scheme: server.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	r.held = &heldClient{Client: interceptor.NewClient(live, functions), written: written{live: live}}

	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: server.Namespace(t), Name: "m"}}
	machine.Spec.ClusterName = v1alpha1.AdoptedClusterName
	machine.Spec.Bootstrap.DataSecretName = ptr.To("m")
	machine.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{APIGroup: "a.b", Kind: "C", Name: "m"}
	if err := server.Client.Create(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	before := machine.DeepCopy()
	conditions.Set(machine, metav1.Condition{Type: clusterv1.PausedCondition, Status: metav1.ConditionFalse, Reason: clusterv1.NotPausedReason})
	if err := server.Client.Status().Patch(t.Context(), machine, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	r.machine = machine
	r.read()
	return r
}

// read begins a reconcile.
func (r *reconciled) read() {
	r.t.Helper()
	key := client.ObjectKeyFromObject(r.machine)
	r.machine = &clusterv1.Machine{}
	err := r.held.Get(r.t.Context(), key, r.machine)
	if err == nil {
		r.helper, err = patch.NewHelper(r.machine, r.held)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.counter.Reset()
}

// change does what a reconcile does to a Machine: conditions of both kinds, and other parts of its status.
func (r *reconciled) change(phase clusterv1.MachinePhase) {
	r.condition(clusterv1.MachineReadyCondition, string(phase))
	v1beta1conditions.MarkFalse(r.machine, clusterv1.InfrastructureReadyV1Beta1Condition, string(phase), clusterv1.ConditionSeverityInfo, "")
	r.machine.Status.SetTypedPhase(phase)
	r.machine.Status.LastUpdated = metav1.Now()
	r.machine.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
}

func (r *reconciled) condition(kind, reason string) {
	conditions.Set(r.machine, metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason})
}

// patch ends a reconcile as Cluster API does.
func (r *reconciled) patch() error {
	return r.helper.Patch(r.t.Context(), r.machine, patch.WithStatusObservedGeneration{},
		patch.WithOwnedConditions{Conditions: []string{clusterv1.PausedCondition, clusterv1.MachineReadyCondition}})
}

// requests are those that would write the status, whatever became of them.
func (r *reconciled) requests() int {
	return r.counter.Counts()[apicount.Key{Resource: "machines.cluster.x-k8s.io/status", Verb: "patch"}]
}

func (r *reconciled) live() *clusterv1.Machine {
	r.t.Helper()
	machine := &clusterv1.Machine{}
	if err := r.server.Get(r.t.Context(), client.ObjectKeyFromObject(r.machine), machine); err != nil {
		r.t.Fatal(err)
	}
	return machine
}

// written fails the test unless the Machine's status is what the reconcile made of it, and took so many requests.
func (r *reconciled) written(requests int, want *clusterv1.MachineStatus) {
	r.t.Helper()
	if got := r.requests(); got != requests {
		r.t.Errorf("the status took %d requests, want %d", got, requests)
	}
	if diff := cmp.Diff(want, &r.live().Status, toSeconds); diff != "" {
		r.t.Errorf("the Machine's status is not what was patched (-want +got):\n%s", diff)
	}
}

// toSeconds compares times as the API server keeps them.
var toSeconds = cmp.Comparer(func(a, b metav1.Time) bool { return a.Unix() == b.Unix() })

// another writes what nobody else writes of a Machine's status, a condition and another field.
func (r *reconciled) another() (metav1.Condition, metav1.Time) {
	r.t.Helper()
	machine := r.live()
	before := machine.DeepCopy()
	healthy := metav1.Condition{Type: v1alpha1.MachineAgentHealthyCondition, Status: metav1.ConditionTrue, Reason: "Healthy", LastTransitionTime: metav1.Unix(1000, 0)}
	machine.Status.Conditions = append(machine.Status.Conditions, healthy)
	machine.Status.CertificatesExpiryDate = metav1.Unix(2000, 0)
	if err := r.server.Status().Patch(r.t.Context(), machine, client.MergeFrom(before)); err != nil {
		r.t.Fatal(err)
	}
	return healthy, machine.Status.CertificatesExpiryDate
}

func TestAStatusIsWrittenWithOneRequest(t *testing.T) {
	r := newReconciled(t, interceptor.Funcs{})
	for _, step := range []struct {
		reason   string
		change   func()
		requests int
	}{
		{"a new Machine, which has neither conditions nor the rest", func() { r.change(clusterv1.MachinePhasePending) }, 1},
		{"one that has both", func() { r.change(clusterv1.MachinePhaseRunning) }, 1},
		{"only a condition", func() { r.condition(clusterv1.MachineReadyCondition, "Other") }, 1},
		{"only the rest", func() { r.machine.Status.FailureDomain = "a" }, 1},
		{"what is taken out", func() {
			r.condition(clusterv1.MachineReadyCondition, "Gone")
			r.machine.Status.FailureDomain = ""
			r.machine.Status.Initialization = clusterv1.MachineInitializationStatus{}
		}, 1},
		{"nothing", func() {}, 0},
	} {
		r.read()
		step.change()
		if err := r.patch(); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		t.Log(step.reason)
		r.written(step.requests, &r.machine.Status)
	}
}

// TestASpecIsWrittenBesides: what the helper sends between the two requests is sent.
func TestASpecIsWrittenBesides(t *testing.T) {
	r := newReconciled(t, interceptor.Funcs{})
	r.change(clusterv1.MachinePhaseRunning)
	r.machine.Spec.ProviderID = "a://m"
	if err := r.patch(); err != nil {
		t.Fatal(err)
	}
	r.written(1, &r.machine.Status)
	if got := r.live().Spec.ProviderID; got != "a://m" {
		t.Errorf("the provider ID is %q: the spec was not written", got)
	}
}

// TestWhatAnotherWroteSinceStays, be it that the client sees it before it writes or that the API server says so.
func TestWhatAnotherWroteSinceStays(t *testing.T) {
	for _, c := range []struct {
		reason   string
		behind   bool
		requests int
	}{
		{"the helper's own read shows it", false, 2},
		{"the cache is behind: the one request conflicts, and then there are two", true, 3},
	} {
		var stale *clusterv1.Machine
		r := newReconciled(t, interceptor.Funcs{Get: func(ctx context.Context, real client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			if machine, ok := into.(*clusterv1.Machine); ok && stale != nil {
				stale.DeepCopyInto(machine)
				return nil
			}
			return real.Get(ctx, key, into, opts...)
		}})
		if c.behind {
			stale = r.live()
		}
		r.change(clusterv1.MachinePhaseRunning)
		condition, date := r.another()
		if err := r.patch(); err != nil {
			t.Fatalf("%s: %v", c.reason, err)
		}
		want := r.machine.Status.DeepCopy()
		want.Conditions, want.CertificatesExpiryDate = r.live().Status.Conditions, date
		t.Log(c.reason)
		r.written(c.requests, want)
		for _, kept := range []metav1.Condition{condition, *conditions.Get(r.machine, clusterv1.MachineReadyCondition)} {
			if got := conditions.Get(r.live(), kept.Type); got == nil || got.Reason != kept.Reason {
				t.Errorf("%s: the condition %s is %+v, want %+v", c.reason, kept.Type, got, kept)
			}
		}
	}
}

// TestARefusedRestLeavesTheConditions: the error is the rest's, and the conditions are written as they would have been.
func TestARefusedRestLeavesTheConditions(t *testing.T) {
	r := newReconciled(t, interceptor.Funcs{})
	r.change("Nonsense")
	err := r.patch()
	if !strings.Contains(errorText(err), "failed to patch status: ") || !strings.Contains(errorText(err), "Nonsense") || strings.Contains(errorText(err), "status conditions") {
		t.Errorf("the error is %q, want that of the second request alone", errorText(err))
	}
	if got := conditions.Get(r.live(), clusterv1.MachineReadyCondition); got == nil || got.Reason != "Nonsense" {
		t.Errorf("the condition is %+v: it was lost with the rest", got)
	}
	if got := r.live().Status.Phase; got != "" {
		t.Errorf("the phase is %q", got)
	}
}

// TestAFailureIsTheCallers, of each of the two parts, and nothing is written.
func TestAFailureIsTheCallers(t *testing.T) {
	down := errors.New("no answer")
	r := newReconciled(t, interceptor.Funcs{SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
		return down
	}})
	before := r.live().Status
	r.change(clusterv1.MachinePhaseRunning)
	err := r.patch()
	if strings.Count(errorText(err), down.Error()) != 2 {
		t.Errorf("the error is %q, want %q for the conditions and for the rest", errorText(err), down)
	}
	r.written(0, &before)
}

// TestALostAnswerLosesNoWrite: it was made, and is made again.
func TestALostAnswerLosesNoWrite(t *testing.T) {
	lost := false
	r := newReconciled(t, interceptor.Funcs{SubResourcePatch: func(ctx context.Context, real client.Client, name string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
		err := real.SubResource(name).Patch(ctx, obj, patch, opts...)
		if err == nil && !lost {
			lost = true
			return errors.New("the answer is lost")
		}
		return err
	}})
	r.change(clusterv1.MachinePhaseRunning)
	if err := r.patch(); err != nil {
		t.Fatal(err)
	}
	if !lost {
		t.Fatal("no answer was lost")
	}
	r.written(r.requests(), &r.machine.Status)
}

// TestOnlyTheHelpersOwnSecondRequestIsNotSent: what else a reconcile writes is its own.
func TestOnlyTheHelpersOwnSecondRequestIsNotSent(t *testing.T) {
	for reason, data := range map[string]string{
		"another field":                    `{"status":{"failureDomain":"a"}}`,
		"a condition, with the rest as is": `{"status":{"conditions":[],"phase":"Running"}}`,
	} {
		r := newReconciled(t, interceptor.Funcs{})
		r.change(clusterv1.MachinePhaseRunning)
		first := r.live()
		before := client.MergeFromWithOptions(first.DeepCopy(), client.MergeFromWithOptimisticLock{})
		first.Status.Conditions = r.machine.Status.Conditions
		if err := r.held.Status().Patch(t.Context(), first, before); err != nil {
			t.Fatal(err)
		}
		if r.live().Status.Phase == "" {
			t.Fatal("the rest did not go along")
		}
		second := first.DeepCopy()
		if strings.Contains(data, "failureDomain") {
			second.Status.FailureDomain = "a"
		}
		if err := r.held.Status().Patch(t.Context(), second, client.RawPatch(types.MergePatchType, []byte(data))); err != nil {
			t.Fatal(err)
		}
		if got := r.requests(); got != 2 {
			t.Errorf("%s: %d requests were sent, want 2", reason, got)
		}
	}
}

// TestAMachineThatIsGoneIsForgotten.
func TestAMachineThatIsGoneIsForgotten(t *testing.T) {
	r := newReconciled(t, interceptor.Funcs{})
	if err := r.server.Delete(t.Context(), r.machine); err != nil {
		t.Fatal(err)
	}
	if err := r.held.Get(t.Context(), client.ObjectKeyFromObject(r.machine), &clusterv1.Machine{}); !apierrors.IsNotFound(err) {
		t.Fatalf("the Machine is there: %v", err)
	}
	if n := len(r.held.coalesced.reads); n != 0 {
		t.Errorf("%d Machines are remembered that are gone", n)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
