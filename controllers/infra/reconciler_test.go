package infra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// slowProvider makes machines in steps, as one whose machines are far away: each call answers with the next state.
type slowProvider struct {
	state     State
	err       error
	removal   Removal
	report    string
	deaf      error
	documents []string
	// hangs has Ensure wait for the end of its time; began does so, too, and is sent what ends with it.
	hangs bool
	began chan context.Context
	// removing is done within Remove.
	removing func(context.Context)
}

var _ Provider[*v1alpha1.LocalMachine] = &slowProvider{}

func (p *slowProvider) Kind() Kind[*v1alpha1.LocalMachine] {
	return Kind[*v1alpha1.LocalMachine]{
		Name: "LocalMachine", Finalizer: "drover.dev/slow", ProviderIDPrefix: "slow://",
		New:     func() *v1alpha1.LocalMachine { return &v1alpha1.LocalMachine{} },
		NewList: func() client.ObjectList { return &v1alpha1.LocalMachineList{} },
		Contract: func(m *v1alpha1.LocalMachine) Contract {
			return Contract{ProviderID: &m.Spec.ProviderID, Conditions: &m.Status.Conditions, Addresses: &m.Status.Addresses,
				ObservedGeneration: &m.Status.ObservedGeneration, Provisioned: &m.Status.Initialization.Provisioned}
		},
	}
}

func (p *slowProvider) Ensure(ctx context.Context, m *v1alpha1.LocalMachine, bootstrap []byte) (State, error) {
	p.documents = append(p.documents, string(bootstrap))
	m.Status.BootID = "the-provider's-own"
	if p.began != nil {
		p.began <- ctx
	}
	if p.hangs || p.began != nil {
		<-ctx.Done()
		return p.state, fmt.Errorf("ask the runtime: %w", ctx.Err())
	}
	return p.state, p.err
}

func (p *slowProvider) Remove(ctx context.Context, _ *v1alpha1.LocalMachine) (Removal, error) {
	if p.removing != nil {
		p.removing(ctx)
	}
	return p.removal, p.err
}

func (p *slowProvider) BootReport(context.Context, *v1alpha1.LocalMachine) ([]byte, error) {
	return []byte(p.report), p.deaf
}

type stage struct {
	t        *testing.T
	client   client.Client
	events   *events.FakeRecorder
	provider *slowProvider
	clock    *clocktesting.FakePassiveClock
	*Reconciler[*v1alpha1.LocalMachine]
}

var key = client.ObjectKey{Namespace: "default", Name: "m"}

// start is when the tests begin, by our clock.
var start = time.Unix(1_750_000_000, 0)

func newStage(t *testing.T, edits ...func(*v1alpha1.LocalMachine)) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	yes, secret := true, "m-bootstrap"
	m := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m", UID: "uid", Generation: 1, CreationTimestamp: metav1.NewTime(start),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: "m", UID: "machine-uid"}}}}
	for _, edit := range edits {
		edit(m)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.LocalMachine{}, &clusterv1.Machine{}).WithObjects(
		&clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "drover"},
			Status: clusterv1.ClusterStatus{Initialization: clusterv1.ClusterInitializationStatus{InfrastructureProvisioned: &yes}}},
		&clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m", UID: "machine-uid"},
			Spec: clusterv1.MachineSpec{ClusterName: "drover", Bootstrap: clusterv1.Bootstrap{DataSecretName: &secret}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: secret},
			Data: map[string][]byte{v1alpha1.BootstrapSecretKey: []byte(`{"nodeName":"m"}`), v1alpha1.BootstrapSecretFormatKey: []byte(v1alpha1.BootstrapFormat)}},
		m,
	).Build()
	s := &stage{t: t, client: c, events: events.NewFakeRecorder(16), provider: &slowProvider{}, clock: clocktesting.NewFakePassiveClock(start)}
	s.Reconciler = &Reconciler[*v1alpha1.LocalMachine]{Client: c, APIReader: c, Recorder: s.events, Provider: s.provider, Clock: s.clock}
	return s
}

func (s *stage) reconcile() ctrl.Result {
	s.t.Helper()
	result, err := s.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: key})
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *stage) machine() *v1alpha1.LocalMachine {
	s.t.Helper()
	m := &v1alpha1.LocalMachine{}
	if err := s.client.Get(s.t.Context(), key, m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *stage) gone() bool {
	return apierrors.IsNotFound(s.client.Get(s.t.Context(), key, &v1alpha1.LocalMachine{}))
}

func (s *stage) ready() metav1.Condition {
	s.t.Helper()
	if c := meta.FindStatusCondition(s.machine().Status.Conditions, v1alpha1.ReadyCondition); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// TestAMachineIsMadeInSteps of which each is seen, without a warning.
func TestAMachineIsMadeInSteps(t *testing.T) {
	s := newStage(t)
	s.provider.state = State{Reason: v1alpha1.ReasonProvisioning, Message: "The agent is copied.", Waiting: true, RequeueAfter: 2 * time.Second}
	if result := s.reconcile(); result.RequeueAfter != 2*time.Second {
		t.Errorf("the next step is tried after %s", result.RequeueAfter)
	}
	m := s.machine()
	if c := s.ready(); c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonProvisioning || c.Message != "The agent is copied." {
		t.Errorf("half-way, Ready is %+v", c)
	}
	if m.Status.Initialization.Provisioned != nil || m.Spec.ProviderID != "slow://default/m" || len(m.Finalizers) != 1 || m.Status.BootID == "" {
		t.Errorf("half-way, the machine is %+v", m)
	}
	if len(s.events.Events) != 0 {
		t.Errorf("a step was told as an event: %s", <-s.events.Events)
	}

	s.provider.state = State{Reason: v1alpha1.ReasonProvisioned, Provisioned: true,
		Addresses: []clusterv1.MachineAddress{{Type: clusterv1.MachineInternalIP, Address: "192.0.2.1"}}}
	s.provider.report = `{"phase":"Identity","reason":"TokenRefused","message":"The API server refused the token."}`
	s.reconcile()
	if m := s.machine(); !isTrue(m.Status.Initialization.Provisioned) || len(m.Status.Addresses) != 1 {
		t.Errorf("once made, the status is %+v", m.Status)
	}
	if c := s.ready(); c.Reason != v1alpha1.ReasonBootFailed || !strings.Contains(c.Message, "refused the token") {
		t.Errorf("once made, Ready is %+v, want the agent's own words", c)
	}

	s.provider.state = State{Reason: v1alpha1.ReasonStopped, Message: "The machine does not answer.", RequeueAfter: time.Minute}
	if result := s.reconcile(); result.RequeueAfter != time.Minute {
		t.Errorf("a machine that does not answer is asked again after %s", result.RequeueAfter)
	}
	if m := s.machine(); !isTrue(m.Status.Initialization.Provisioned) || len(m.Status.Addresses) != 1 || s.ready().Reason != v1alpha1.ReasonStopped {
		t.Errorf("a machine that does not answer has the status %+v", m.Status)
	}
	for i, whole := range []bool{true, true, false} {
		if got := strings.Contains(s.provider.documents[i], `"providerID":"slow://default/m"`); got != whole {
			t.Errorf("call %d got the document %q", i, s.provider.documents[i])
		}
	}
}

func TestAMachineThatNobodyCanAskIsNotReadyUntilItHasJoined(t *testing.T) {
	s := newStage(t)
	s.provider.state = State{Reason: v1alpha1.ReasonProvisioned, Provisioned: true}
	want := func(when, reason, message string) {
		t.Helper()
		s.reconcile()
		if c := s.ready(); c.Reason != reason || !strings.Contains(c.Message, message) || (c.Status == metav1.ConditionTrue) != (reason == v1alpha1.ReasonProvisioned) {
			t.Errorf("%s, Ready is %+v", when, c)
		}
		if !isTrue(s.machine().Status.Initialization.Provisioned) {
			t.Errorf("%s, the machine is not provisioned, which must not be taken back", when)
		}
	}
	want("without a report", v1alpha1.ReasonProvisioned, "")
	s.provider.deaf = &Problem{Reason: "Unreachable", Message: "The server does not answer."}
	want("when the server does not answer", "Unreachable", "The server does not answer.")
	s.provider.deaf = errors.New("input/output error")
	want("when the report cannot be read", v1alpha1.ReasonBootFailed, "input/output error")
	s.provider.deaf = nil
	want("when it answers again", v1alpha1.ReasonProvisioned, "")
	s.provider.deaf = errors.New("no route to host")
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m"}}
	if err := s.client.Get(t.Context(), key, machine); err != nil {
		t.Fatal(err)
	}
	machine.Status.NodeRef.Name = "m"
	if err := s.client.Status().Update(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	want("once it has joined", v1alpha1.ReasonProvisioned, "")
}

// TestARemovalSaysWhatItWaitsFor on the object, which stays until nothing is left.
func TestARemovalSaysWhatItWaitsFor(t *testing.T) {
	s := newStage(t)
	s.provider.state = State{Reason: v1alpha1.ReasonProvisioned, Provisioned: true}
	s.reconcile()
	if err := s.client.Delete(t.Context(), &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Delete(t.Context(), s.machine()); err != nil {
		t.Fatal(err)
	}
	s.provider.removal = Removal{Reason: v1alpha1.ReasonDeleting, Message: "Its host does not answer.", RequeueAfter: time.Minute}
	for range 2 {
		if result := s.reconcile(); result.RequeueAfter != time.Minute {
			t.Errorf("the removal is tried again after %s", result.RequeueAfter)
		}
	}
	if c := s.ready(); c.Reason != v1alpha1.ReasonDeleting || c.Message != "Its host does not answer." || len(s.machine().Finalizers) != 1 {
		t.Errorf("Ready is %+v", c)
	}
	if len(s.events.Events) != 1 {
		t.Errorf("%d events tell of one cause", len(s.events.Events))
	}
	s.provider.removal = Removal{Gone: true}
	s.reconcile()
	if err := s.client.Get(t.Context(), key, &v1alpha1.LocalMachine{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the object of a machine that is gone is still there (%v)", err)
	}
}

// staleReader is a cache that shows the machine as it once was, or fails.
type staleReader struct {
	client.Client
	machine *v1alpha1.LocalMachine
	err     error
}

func (c staleReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if m, ok := o.(*v1alpha1.LocalMachine); ok {
		c.machine.DeepCopyInto(m)
		return c.err
	}
	return c.Client.Get(ctx, key, o, opts...)
}

func TestAStaleCacheIsNotActedUpon(t *testing.T) {
	s := newStage(t)
	s.provider.state = State{Reason: v1alpha1.ReasonProvisioned, Provisioned: true}
	before := s.machine()
	s.reconcile()
	// A read that fails says nothing of the machine, and least of all that it is gone.
	broken := errors.New("the cache takes its time")
	s.Client = staleReader{s.client, before, broken}
	if _, err := s.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); !errors.Is(err, broken) {
		t.Errorf("a read that fails ends with %v", err)
	}
	s.Client = staleReader{s.client, before, nil}
	if result := s.reconcile(); len(s.provider.documents) != 1 || result.RequeueAfter == 0 {
		t.Errorf("%d calls, result %+v", len(s.provider.documents), result)
	}
}

func TestAProviderThatHangsIsToldOf(t *testing.T) {
	s := newStage(t)
	s.Timeout, s.provider.hangs = 100*time.Millisecond, true
	if _, err := s.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the reconcile ends with %v", err)
	}
	if c := s.ready(); c.Reason != v1alpha1.ReasonProvisionFailed || !strings.Contains(c.Message, "did not end within 100ms: ask the runtime") {
		t.Errorf("Ready is %+v, want what hung", c)
	}
	// That the manager ends is nobody's trouble.
	s.Timeout = 0
	ctx, end := context.WithCancel(t.Context())
	end()
	before := s.ready()
	if _, err := s.Reconcile(ctx, ctrl.Request{NamespacedName: key}); !errors.Is(err, context.Canceled) || s.ready() != before {
		t.Errorf("when the manager ends, the reconcile ends with %v, and Ready is %+v", err, s.ready())
	}
}
