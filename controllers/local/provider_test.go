package local

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/controllers/local/machine/fakehost"
)

// stage is a reconciler with everything around it made up.
type stage struct {
	*infra.Reconciler[*v1alpha1.LocalMachine]
	provider *Provider
	t        *testing.T
	host     *fakehost.Host
	client   client.Client
	events   *events.FakeRecorder
	ends     <-chan event.GenericEvent
	writes   []string
}

var machineKey = client.ObjectKey{Namespace: "default", Name: "m"}

func testObjects() []client.Object {
	yes, secret := true, "m-bootstrap"
	document, _ := json.Marshal(node.Bootstrap{NodeName: "m", Token: "abcdef.0123456789abcdef"})
	return []client.Object{
		&clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "drover"},
			Status: clusterv1.ClusterStatus{Initialization: clusterv1.ClusterInitializationStatus{InfrastructureProvisioned: &yes}}},
		&clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m", UID: "machine-uid"},
			Spec: clusterv1.MachineSpec{ClusterName: "drover", Bootstrap: clusterv1.Bootstrap{DataSecretName: &secret}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: secret},
			Data: map[string][]byte{v1alpha1.BootstrapSecretKey: document, v1alpha1.BootstrapSecretFormatKey: []byte(v1alpha1.BootstrapFormat)}},
		&v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m", UID: "local-uid", Generation: 1, CreationTimestamp: metav1.Now(),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "Machine", Name: "m", UID: "machine-uid"}}}},
	}
}

func newStage(t *testing.T, change func([]client.Object)) *stage {
	t.Helper()
	objects := testObjects()
	if change != nil {
		change(objects)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	s := &stage{t: t, host: fakehost.New(), events: events.NewFakeRecorder(32)}
	kept := objects[:0:0]
	for _, o := range objects {
		if o != nil {
			kept = append(kept, o)
		}
	}
	s.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(kept...).
		WithStatusSubresource(&v1alpha1.LocalMachine{}, &clusterv1.Machine{}, &clusterv1.Cluster{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				s.writes = append(s.writes, "patch")
				return c.Patch(ctx, o, p, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				s.writes = append(s.writes, "patch "+sub)
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	dir := t.TempDir()
	agent := filepath.Join(dir, "drover-agent")
	if err := os.WriteFile(agent, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s.provider = &Provider{Client: s.client, APIReader: s.client, Recorder: s.events, Root: filepath.Join(dir, "machines"), AgentBinary: agent, Host: s.host}
	s.ends = s.provider.prepare(ctx)
	s.Reconciler = s.provider.reconciler()
	return s
}

func (s *stage) reconcile() ctrl.Result {
	s.t.Helper()
	result, err := s.Reconcile(context.Background(), ctrl.Request{NamespacedName: machineKey})
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *stage) machine() *v1alpha1.LocalMachine {
	s.t.Helper()
	lm := &v1alpha1.LocalMachine{}
	if err := s.client.Get(context.Background(), machineKey, lm); err != nil {
		s.t.Fatal(err)
	}
	return lm
}

func (s *stage) ready() metav1.Condition {
	s.t.Helper()
	if c := meta.FindStatusCondition(s.machine().Status.Conditions, v1alpha1.ReadyCondition); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func (s *stage) join() {
	s.t.Helper()
	machine := &clusterv1.Machine{}
	if err := s.client.Get(context.Background(), machineKey, machine); err != nil {
		s.t.Fatal(err)
	}
	machine.Status.NodeRef.Name = "m"
	if err := s.client.Status().Update(context.Background(), machine); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) said(reason string) bool {
	for {
		select {
		case text := <-s.events.Events:
			if strings.Contains(text, reason) {
				return true
			}
		default:
			return false
		}
	}
}

// as is the object as its own type; a test that names the wrong one panics on the nil.
func as[T client.Object](o client.Object) T {
	typed, _ := o.(T)
	return typed
}

func TestProvisionTakesTwoWrites(t *testing.T) {
	s := newStage(t, nil)
	for range 3 {
		s.reconcile()
	}
	if diff := cmp.Diff([]string{"patch", "patch status"}, s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	lm := s.machine()
	if lm.Spec.ProviderID != "drover-local://default/m" || len(lm.Finalizers) != 1 {
		t.Errorf("provider ID %q, finalizers %v", lm.Spec.ProviderID, lm.Finalizers)
	}
	if p := lm.Status.Initialization.Provisioned; p == nil || !*p || lm.Status.PID == nil || lm.Status.BootID == "" {
		t.Errorf("status %+v", lm.Status)
	}
	want := []clusterv1.MachineAddress{{Type: clusterv1.MachineInternalIP, Address: "10.88.0.10"}, {Type: clusterv1.MachineHostName, Address: "m"}}
	if diff := cmp.Diff(want, lm.Status.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if c := s.ready(); c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonProvisioned {
		t.Errorf("Ready is %+v", c)
	}
	data, err := os.ReadFile(filepath.Join(s.provider.Root, "default", "m", "etc", "drover", "bootstrap.json"))
	if err != nil || !strings.Contains(string(data), `"providerID":"drover-local://default/m"`) {
		t.Errorf("the machine's bootstrap document is %s (%v)", data, err)
	}
}

func TestProvisionWaits(t *testing.T) {
	const cluster, machine, secret, local = 0, 1, 2, 3
	cases := map[string]struct {
		reason  string
		without func([]client.Object)
		want    string
	}{
		"NoOwner": {"Cluster API has not taken the machine yet.",
			func(o []client.Object) { o[local].SetOwnerReferences(nil) }, v1alpha1.ReasonWaitingForMachine},
		"AnotherOwner": {"The Machine of that name is another one than the owner.",
			func(o []client.Object) { o[machine].SetUID("another") }, v1alpha1.ReasonWaitingForMachine},
		"NoInfrastructure": {"The contract says to wait for the Cluster's infrastructure.",
			func(o []client.Object) { as[*clusterv1.Cluster](o[cluster]).Status = clusterv1.ClusterStatus{} }, v1alpha1.ReasonWaitingForMachine},
		"NoSecretName": {"The Machine names no bootstrap data.",
			func(o []client.Object) { as[*clusterv1.Machine](o[machine]).Spec.Bootstrap.DataSecretName = nil }, v1alpha1.ReasonWaitingForSecret},
		"NoSecret": {"The Secret is not there yet.",
			func(o []client.Object) { o[secret] = nil }, v1alpha1.ReasonWaitingForSecret},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, tc.without)
			if result := s.reconcile(); result.RequeueAfter == 0 || len(s.writes) != 0 || len(s.host.Processes()) != 0 {
				t.Errorf("%s A young machine waits without a word: result %v, writes %v", tc.reason, result, s.writes)
			}
			s.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(time.Minute))
			s.reconcile()
			if got := s.ready(); got.Reason != tc.want || got.Message == "" {
				t.Errorf("%s Ready is %+v, want reason %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestPausedChangesNothing(t *testing.T) {
	yes, paused := true, map[string]string{clusterv1.PausedAnnotation: ""}
	cases := map[string]func([]client.Object){
		"Cluster": func(o []client.Object) { as[*clusterv1.Cluster](o[0]).Spec.Paused = &yes },
		"Machine": func(o []client.Object) { o[1].SetAnnotations(paused) },
		"Itself":  func(o []client.Object) { o[3].SetAnnotations(paused) },
	}
	for name, pause := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, pause)
			s.reconcile()
			if len(s.writes) != 0 || len(s.host.Processes()) != 0 {
				t.Errorf("writes %v, machines %v", s.writes, s.host.Processes())
			}
		})
	}
}

func TestProblemsBecomeAConditionAndOneEvent(t *testing.T) {
	cases := map[string]struct {
		reason  string
		objects func([]client.Object)
		host    func(*fakehost.Host)
		want    string
		message string
	}{
		"NoBridge": {"The host has no such bridge.", nil,
			func(h *fakehost.Host) {
				h.NoBridge = &machine.Problem{Message: "The host has no bridge drover0: make it."}
			}, v1alpha1.ReasonProvisionFailed, "make it"},
		"NoAddress": {"The only address is the bridge's own.",
			func(o []client.Object) {
				as[*v1alpha1.LocalMachine](o[3]).Spec.Network = v1alpha1.LocalNetwork{FirstAddress: "10.88.0.1", LastAddress: "10.88.0.1"}
			}, nil, v1alpha1.ReasonAddressesExhausted, "wider range"},
		"ForeignRange": {"The range is of another subnet.",
			func(o []client.Object) {
				as[*v1alpha1.LocalMachine](o[3]).Spec.Network = v1alpha1.LocalNetwork{FirstAddress: "10.99.0.1", LastAddress: "10.99.0.9"}
			}, nil, v1alpha1.ReasonProvisionFailed, "not within the subnet"},
		"ForeignFormat": {"The Secret is for cloud-init.",
			func(o []client.Object) {
				as[*corev1.Secret](o[2]).Data[v1alpha1.BootstrapSecretFormatKey] = []byte("cloud-config")
			}, nil, v1alpha1.ReasonProvisionFailed, "cloud-config"},
		"BadDocument": {"The document is cut off.",
			func(o []client.Object) {
				as[*corev1.Secret](o[2]).Data[v1alpha1.BootstrapSecretKey] = []byte(`{"nodeName":`)
			}, nil, v1alpha1.ReasonProvisionFailed, "delete it"},
		"InitFailed": {"Init says what it could not do.", nil,
			func(h *fakehost.Host) { h.NoStart = errors.New("mount overlay on /: invalid argument") }, v1alpha1.ReasonProvisionFailed, "mount overlay"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, tc.objects)
			if tc.host != nil {
				tc.host(s.host)
			}
			s.reconcile()
			got := s.ready()
			if got.Status != metav1.ConditionFalse || got.Reason != tc.want || !strings.Contains(got.Message, tc.message) {
				t.Errorf("%s Ready is %+v, want %s with %q", tc.reason, got, tc.want, tc.message)
			}
			if !s.said(tc.want) {
				t.Errorf("%s No event told of it", tc.reason)
			}
			if len(s.host.Processes()) != 0 {
				t.Errorf("%s A machine runs all the same", tc.reason)
			}
			writes := len(s.writes)
			if result := s.reconcile(); result.RequeueAfter == 0 || len(s.writes) != writes || s.said(tc.want) {
				t.Errorf("%s The second time: result %+v, writes %v; want a later try and silence", tc.reason, result, s.writes[writes:])
			}
		})
	}
}

func TestBootReportIsMirroredUntilTheNodeIsThere(t *testing.T) {
	s := newStage(t, nil)
	s.reconcile()
	s.host.Inside[node.BootReportPath] = `{"phase":"Identity","reason":"TokenRefused","message":"The API server refused the token."}`
	if s.reconcile(); s.ready().Reason != v1alpha1.ReasonBootFailed || !strings.Contains(s.ready().Message, "refused the token") {
		t.Errorf("Ready is %+v, want the agent's own words", s.ready())
	}
	if p := s.machine().Status.Initialization.Provisioned; p == nil || !*p {
		t.Error("provisioned was taken back, which the contract forbids")
	}
	if !s.said("TokenRefused") {
		t.Error("no event told of it")
	}
	s.join()
	if result := s.reconcile(); s.ready().Reason != v1alpha1.ReasonProvisioned || result.RequeueAfter != 0 {
		t.Errorf("with a Node, Ready is %+v and the machine is asked again after %s", s.ready(), result.RequeueAfter)
	}
}

func TestMachineThatEndsIsRebooted(t *testing.T) {
	s := newStage(t, nil)
	s.reconcile()
	s.join()
	s.reconcile()
	first := s.machine().Status
	for p := range s.host.Processes() {
		s.host.End(p)
	}
	select {
	case e := <-s.ends:
		if client.ObjectKeyFromObject(e.Object) != machineKey {
			t.Errorf("the end was of %s", e.Object.GetName())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody said that the machine ended")
	}
	s.reconcile()
	second := s.machine().Status
	if second.BootID == first.BootID || *second.PID == *first.PID || second.Addresses[0] != first.Addresses[0] {
		t.Errorf("after the reboot %+v, before %+v", second, first)
	}
	if !s.said(v1alpha1.ReasonRebooted) {
		t.Error("no event told of the reboot")
	}
	for p := range s.host.Processes() {
		s.host.End(p)
	}
	if result := s.reconcile(); result.RequeueAfter == 0 || s.ready().Reason != v1alpha1.ReasonStopped || len(s.host.Processes()) != 0 {
		t.Errorf("a machine that keeps ending: result %+v, Ready %+v", result, s.ready())
	}
}

// TestMachineThatNeverStartsKeepsSayingWhy, also while its next start is put off.
func TestMachineThatNeverStartsKeepsSayingWhy(t *testing.T) {
	s := newStage(t, nil)
	s.host.NoStart = errors.New("mount overlay on /: invalid argument")
	now, putOff := time.Now(), false
	s.provider.machines.Now = func() time.Time { return now }
	for range 20 {
		launches := len(s.host.Launches)
		result := s.reconcile()
		putOff = putOff || len(s.host.Launches) == launches
		if got := s.ready(); got.Reason != v1alpha1.ReasonProvisionFailed || !strings.Contains(got.Message, "mount overlay") || result.RequeueAfter == 0 {
			t.Fatalf("after %d starts, Ready is %+v and the result %+v", len(s.host.Launches), got, result)
		}
		now = now.Add(result.RequeueAfter)
	}
	if !putOff || len(s.host.Launches) < 7 {
		t.Errorf("%d starts, put off: %t; want at least 7 and the later ones put off", len(s.host.Launches), putOff)
	}
	if len(s.events.Events) != 1 {
		t.Errorf("%d events tell of one cause", len(s.events.Events))
	}
	if diff := cmp.Diff([]string{"patch", "patch status"}, s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	s.host.NoStart = nil
	now = now.Add(time.Minute)
	if s.reconcile(); s.ready().Reason != v1alpha1.ReasonProvisioned {
		t.Fatalf("with the cause gone, Ready is %+v", s.ready())
	}
	for p := range s.host.Processes() {
		s.host.End(p)
	}
	if s.reconcile(); s.ready().Reason != v1alpha1.ReasonStopped {
		t.Errorf("a machine that started and ended still says why it once did not start: %+v", s.ready())
	}
}

func TestDeletionLeavesNothing(t *testing.T) {
	s := newStage(t, nil)
	s.reconcile()
	for _, o := range []client.Object{s.machine(), &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m"}}} {
		if err := s.client.Delete(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.writes = nil
	s.reconcile()
	if err := s.client.Get(context.Background(), machineKey, &v1alpha1.LocalMachine{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the object is still there (%v)", err)
	}
	if len(s.writes) != 1 || len(s.host.Processes())+len(s.host.Links) != 0 || s.provider.machines.Exists(machineKey) {
		t.Errorf("writes %v, processes %v, links %v", s.writes, s.host.Processes(), s.host.Links)
	}
	s.reconcile()
}

// TestDeletionOfANamespace deletes the LocalMachine long before its Machine.
func TestDeletionOfANamespace(t *testing.T) {
	deleted := metav1.NewTime(time.Now().Add(-time.Hour))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", DeletionTimestamp: &deleted, Finalizers: []string{"kubernetes"}}}
	s := newStage(t, func(objects []client.Object) {
		lm := as[*v1alpha1.LocalMachine](objects[3])
		lm.DeletionTimestamp, lm.Finalizers = &deleted, []string{v1alpha1.LocalMachineFinalizer}
		objects[2] = namespace
	})
	if result := s.reconcile(); result.RequeueAfter == 0 {
		t.Errorf("its pods are not drained yet: %+v", result)
	}
	namespace.Finalizers = nil
	if err := s.client.Update(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	s.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(time.Minute))
	s.reconcile()
	if err := s.client.Get(t.Context(), machineKey, &v1alpha1.LocalMachine{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a LocalMachine that was deleted by hand is still there (%v)", err)
	}
}

func TestMachineThatLostItsDiskIsNotMadeAgain(t *testing.T) {
	s := newStage(t, nil)
	s.reconcile()
	if err := s.provider.machines.Remove(context.Background(), machineKey); err != nil {
		t.Fatal(err)
	}
	s.reconcile()
	if got := s.ready(); got.Reason != v1alpha1.ReasonStopped || !strings.Contains(got.Message, "delete its Machine") || len(s.host.Processes()) != 0 {
		t.Errorf("Ready is %+v, machines %v", got, s.host.Processes())
	}
}
