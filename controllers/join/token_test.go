package join

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/sides"
)

var errCrash = errors.New("the manager was killed")

// world is an API server with one Machine, and a manager that can die before any of its writes.
type world struct {
	client.Client
	clock *testingclock.FakePassiveClock
	// writes are those that were made, as "verb name".
	writes []string
	// crashAt is the number of the write before which the manager dies; negative for never.
	crashAt int
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers-abc"}}
	revision.Data.Raw = []byte(`{"revision":"abc","version":"v1.36.3"}`)
	w := &world{clock: testingclock.NewFakePassiveClock(made), crashAt: -1}
	write := func(verb string, object client.Object, do func() error) error {
		if w.crashAt == len(w.writes) {
			return errCrash
		}
		err := do()
		if err == nil {
			w.writes = append(w.writes, verb+" "+object.GetName())
		}
		return err
	}
	w.Client = fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(append(objects, testPool(), revision)...).
		WithStatusSubresource(&clusterv1.Machine{}).
		WithIndex(&certificatesv1.CertificateSigningRequest{}, requesterField, byRequester).
		WithIndex(&clusterv1.Machine{}, nameField, byName).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				return write("create", o, func() error { return c.Create(ctx, o, opts...) })
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				return write("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
			},
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				return write("delete", o, func() error { return c.Delete(ctx, o, opts...) })
			},
		}).Build()
	return w
}

// manager is one that has just started: it remembers nothing.
func (w *world) manager() *TokenReconciler {
	side := sides.Side{Client: w, Live: w}
	return &TokenReconciler{Management: side, Workload: side, Facts: someFacts{}, Recorder: events.NewFakeRecorder(10), Clock: w.clock}
}

// someFacts are found out without asking anybody.
type someFacts struct{}

func (someFacts) Discover(context.Context) (v1alpha1.ClusterSettings, error) {
	return v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443"}, nil
}

func (f someFacts) Update(ctx context.Context, _ v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error) {
	return f.Discover(ctx)
}

func (w *world) reconcile(t *testing.T, r *TokenReconciler) time.Duration {
	t.Helper()
	result, err := r.Reconcile(t.Context(), request0)
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

var request0 = ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: nodeX}}

// pair are the tokens in the two Secrets; "" for a Secret that is not there.
func (w *world) pair(t *testing.T) (live, promised string) {
	t.Helper()
	tokens := &corev1.SecretList{}
	if err := w.List(t.Context(), tokens, client.InNamespace(tokenNamespace), client.MatchingLabels{v1alpha1.MachineUIDLabel: machineUID}); err != nil {
		t.Fatal(err)
	}
	if len(tokens.Items) > 1 {
		t.Fatalf("the Machine has %d tokens", len(tokens.Items))
	}
	for i := range tokens.Items {
		live = readToken(&tokens.Items[i]).String()
	}
	secret := &corev1.Secret{}
	if w.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: nodeX + v1alpha1.BootstrapSecretSuffix}, secret) == nil {
		promised = bootstrapToken(secret)
	}
	return live, promised
}

func (w *world) wantPair(t *testing.T) {
	t.Helper()
	if live, promised := w.pair(t); live == "" || live != promised {
		t.Errorf("the token is %q and the bootstrap Secret has %q", live, promised)
	}
}

func TestAMachineGetsOneTokenAndOneSecret(t *testing.T) {
	w := newWorld(t, testMachine())
	r := w.manager()
	var told []types.NamespacedName
	r.Published = func(machine types.NamespacedName) {
		w.wantPair(t)
		told = append(told, machine)
	}
	for range 5 {
		w.reconcile(t, r)
	}
	w.wantPair(t)
	if !slices.Equal(told, []types.NamespacedName{request0.NamespacedName}) {
		t.Errorf("the machine's provider was told of %v, want the Machine once", told)
	}
	if len(w.writes) != 2 {
		t.Errorf("five passes made the writes %q, want two", w.writes)
	}
	secret := &corev1.Secret{}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: nodeX + v1alpha1.BootstrapSecretSuffix}, secret); err != nil {
		t.Fatal(err)
	}
	var bootstrap node.Bootstrap
	if err := json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], &bootstrap); err != nil {
		t.Fatal(err)
	}
	if bootstrap.NodeName != nodeX || bootstrap.Spec.Version != "v1.36.3" || bootstrap.Kind != node.BootstrapKind {
		t.Errorf("the bootstrap data is %+v", bootstrap)
	}
	if secret.Type != clusterv1.ClusterSecretType || !ownedBy(secret, testMachine()) || string(secret.Data[v1alpha1.BootstrapSecretFormatKey]) != v1alpha1.BootstrapFormat {
		t.Errorf("the bootstrap Secret is not as Cluster API wants it: %+v", secret.ObjectMeta)
	}
}

func TestACrashBeforeAnyWriteConverges(t *testing.T) {
	for crash := range 2 {
		w := newWorld(t, testMachine())
		w.crashAt = crash
		if _, err := w.manager().Reconcile(t.Context(), request0); !errors.Is(err, errCrash) {
			t.Fatalf("crash at write %d: got %v", crash, err)
		}
		before, _ := w.pair(t)
		w.crashAt = -1
		w.reconcile(t, w.manager())
		w.wantPair(t)
		if after, _ := w.pair(t); before != "" && before != after {
			t.Errorf("crash at write %d: the token was %q and is %q", crash, before, after)
		}
		if len(w.writes) != 2 {
			t.Errorf("crash at write %d: the writes were %q, want two", crash, w.writes)
		}
	}
}

func TestARestartedManagerWritesNothing(t *testing.T) {
	w := newWorld(t, testMachine())
	w.reconcile(t, w.manager())
	w.reconcile(t, w.manager())
	if len(w.writes) != 2 {
		t.Errorf("the writes were %q, want two", w.writes)
	}
}

func TestATokenThatExpiredWhileTheManagerWasDownIsMadeAgainAsPromised(t *testing.T) {
	w := newWorld(t, testMachine())
	w.reconcile(t, w.manager())
	_, promised := w.pair(t)
	secret := testToken().asSecret(testMachine())
	if err := w.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.reconcile(t, w.manager())
	if live, _ := w.pair(t); live != promised {
		t.Errorf("the token is %q, but the machine was told %q", live, promised)
	}
}

func TestAnIDThatSomebodyHasIsPassedOver(t *testing.T) {
	theirs := testToken().asSecret(testMachine())
	theirs.Labels = map[string]string{v1alpha1.MachineUIDLabel: "another"}
	w := newWorld(t, testMachine(), theirs)
	w.reconcile(t, w.manager())
	w.wantPair(t)
	if live, _ := w.pair(t); live[:6] != tokenID(machineUID, 1) {
		t.Errorf("the token is %q, want ID %q", live, tokenID(machineUID, 1))
	}
}

func TestNoTokenForAMachineThatMayNotJoin(t *testing.T) {
	cases := map[string]func(*clusterv1.Machine, *v1alpha1.NodeAgent){
		"it has a Node":          func(m *clusterv1.Machine, _ *v1alpha1.NodeAgent) { m.Status.NodeRef.Name = nodeX },
		"its agent has reported": func(_ *clusterv1.Machine, a *v1alpha1.NodeAgent) { a.Status.AgentVersion = "v1" },
		"it is of no pool":       func(m *clusterv1.Machine, _ *v1alpha1.NodeAgent) { m.Labels[v1alpha1.PoolLabel] = "none" },
		"its pool was made anew": func(m *clusterv1.Machine, _ *v1alpha1.NodeAgent) { m.Labels[v1alpha1.PoolUIDLabel] = "old" },
		"it is being deleted": func(m *clusterv1.Machine, _ *v1alpha1.NodeAgent) {
			m.DeletionTimestamp, m.Finalizers = &metav1.Time{Time: made}, []string{"x"}
		},
		"it has the pool's label but another pool's name": func(m *clusterv1.Machine, _ *v1alpha1.NodeAgent) { m.Namespace = "other" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			machine, agent := testMachine(), &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: nodeX}}
			change(machine, agent)
			w := newWorld(t, machine, agent)
			if _, err := w.manager().Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(machine)}); err != nil {
				t.Fatal(err)
			}
			if len(w.writes) > 0 {
				t.Errorf("the writes were %q, want none", w.writes)
			}
		})
	}
}

func TestATokenIsTakenBackOnce(t *testing.T) {
	ends := map[string]func(t *testing.T, w *world, m *clusterv1.Machine){
		"when the agent has reported": func(t *testing.T, w *world, _ *clusterv1.Machine) {
			agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: nodeX}}
			agent.Status.AgentVersion = "v1"
			must(t, w.Create(t.Context(), agent))
		},
		"when the Machine goes": func(t *testing.T, w *world, m *clusterv1.Machine) { must(t, w.Delete(t.Context(), m)) },
	}
	for name, end := range ends {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, manager restarted %t", name, restarted), func(t *testing.T) {
				machine := testMachine()
				w := newWorld(t, machine)
				r := w.manager()
				w.reconcile(t, r)
				end(t, w, machine)
				w.writes = nil
				if restarted {
					r = w.manager()
				}
				for range 3 {
					w.reconcile(t, r)
				}
				if live, _ := w.pair(t); live != "" {
					t.Error("the token is still there")
				}
				if len(w.writes) != 1 {
					t.Errorf("the writes were %q, want one", w.writes)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAStaleCacheMakesNoSecondToken(t *testing.T) {
	machine := testMachine()
	w := newWorld(t, machine)
	r := w.manager()
	w.reconcile(t, r)
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: nodeX}}
	agent.Status.AgentVersion = "v1"
	must(t, w.Create(t.Context(), agent))
	w.reconcile(t, r)
	must(t, w.Delete(t.Context(), agent)) // As a cache that lags behind would have it.
	w.reconcile(t, r)
	if live, _ := w.pair(t); live != "" {
		t.Errorf("the Machine got another token")
	}
}

func TestATokenIsExtendedRarelyAndRemembersItsKey(t *testing.T) {
	approved := tokenDraft(t).sign(t)
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	w := newWorld(t, testMachine(), approved)
	r := w.manager()
	if got, want := w.reconcile(t, r), tokenLifetime(testPool())-extendBefore(testPool()); got != want {
		t.Errorf("the next look is after %s, want %s", got, want)
	}
	for range 60 {
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		w.reconcile(t, r)
	}
	if extensions := len(w.writes) - 2; extensions != 6 {
		t.Errorf("an hour took %d extensions, want 6", extensions)
	}
	secret := &corev1.Secret{}
	must(t, w.Get(t.Context(), client.ObjectKey{Namespace: tokenNamespace, Name: secretName(tokenID(machineUID, 0))}, secret))
	if left := readToken(secret).expires.Sub(w.clock.Now()); left <= extendBefore(testPool()) {
		t.Errorf("the token is good for %s", left)
	}
	parsed, err := parseRequest(approved)
	must(t, err)
	if secret.Annotations[approvedKeyAnnotation] != parsed.keyHash {
		t.Errorf("the annotation is %q, want %q", secret.Annotations[approvedKeyAnnotation], parsed.keyHash)
	}
}

func TestATokenIsGoodForAsLongAsItsPoolGivesAMachine(t *testing.T) {
	w := newWorld(t, testMachine())
	pool := testPool()
	must(t, w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool))
	pool.Spec.NodeStartupTimeoutSeconds = ptr.To[int32](2 * 60 * 60)
	must(t, w.Update(t.Context(), pool))
	r := w.manager()
	left := func() time.Duration {
		secret := &corev1.Secret{}
		must(t, w.Get(t.Context(), client.ObjectKey{Namespace: tokenNamespace, Name: secretName(tokenID(machineUID, 0))}, secret))
		return readToken(secret).expires.Sub(w.clock.Now())
	}
	if next, want := w.reconcile(t, r), 80*time.Minute; next != want || left() != 2*time.Hour {
		t.Errorf("a token good for %s is looked at again after %s, want 2h and %s", left(), next, want)
	}
	w.clock.SetTime(w.clock.Now().Add(80 * time.Minute))
	if w.reconcile(t, r); left() != 2*time.Hour {
		t.Errorf("it is extended to %s, want 2h", left())
	}
}

func TestAForeignBootstrapSecretIsNotTouched(t *testing.T) {
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: nodeX + v1alpha1.BootstrapSecretSuffix}}
	w := newWorld(t, testMachine(), theirs)
	if _, err := w.manager().Reconcile(t.Context(), request0); !errors.Is(err, errNotOurs) {
		t.Errorf("got %v, want %v", err, errNotOurs)
	}
	if len(w.writes) > 0 {
		t.Errorf("the writes were %q, want none", w.writes)
	}
}
