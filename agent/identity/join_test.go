package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// world is an API server with a controller manager that signs what is approved, and a user who may ask.
type world struct {
	client kubernetes.Interface
	server *apiserver.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := apiserver.Shared(t)
	server.StartControllerManager(t, "certificatesigningrequest-signing-controller")
	return newWorldOn(t, server)
}

// newWorldOn is a world whose requests somebody else signs.
func newWorldOn(t *testing.T, server *apiserver.Server) *world {
	t.Helper()
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "requesters"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests"}, Verbs: []string{"create", "get", "list", "watch"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "requesters"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "requesters"},
		Subjects: []rbacv1.Subject{
			{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: v1alpha1.BootstrapGroup},
			{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: v1alpha1.AgentsGroup},
		},
	}
	if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return &world{client: client, server: server}
}

// decide answers each request of a node once, until the test ends.
func (w *world) decide(t *testing.T, condition certificatesv1.RequestConditionType, message string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			list, err := w.client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, err
			}
			for _, csr := range list.Items {
				if len(csr.Status.Conditions) > 0 {
					continue
				}
				csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: condition, Status: corev1.ConditionTrue, Reason: "Test", Message: message}}
				_, _ = w.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, &csr, metav1.UpdateOptions{})
			}
			return false, nil
		})
	}()
}

func (w *world) requests(t *testing.T, node string) int {
	t.Helper()
	list, err := w.client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, csr := range list.Items {
		if len(csr.Name) > len("drover-agent-"+node) && csr.Name[:len("drover-agent-"+node)] == "drover-agent-"+node {
			n++
		}
	}
	return n
}

// joiner is a machine's, with a bootstrap document on disk.
func (w *world) joiner(t *testing.T, name string) *Joiner {
	t.Helper()
	dir := t.TempDir()
	boot := &node.Bootstrap{NodeName: name, Token: "abcdef.0123456789abcdef"}
	boot.Spec.Cluster = v1alpha1.ClusterSettings{Server: w.server.Config.Host, ServerCA: string(w.server.Config.CAData)}
	data, err := json.Marshal(boot)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	config := w.server.User(t, "system:bootstrap:abcdef", v1alpha1.BootstrapGroup)
	return &Joiner{
		Paths: Paths{StateDir: filepath.Join(dir, "state")}, Bootstrap: boot, BootstrapPath: path, Log: logr.Discard(), Backoff: 100 * time.Millisecond,
		Connect: func(v1alpha1.ClusterSettings, string) (API, error) { return kubeapi.New(config) },
	}
}

func TestJoinGetsAnIdentityThatWorksAndTakesTheTokenOut(t *testing.T) {
	w := newWorld(t)
	w.decide(t, certificatesv1.CertificateApproved, "")
	j := w.joiner(t, "joins")
	id, err := j.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	me, err := kubernetes.NewForConfig(id.RESTConfig(j.Bootstrap.Spec.Cluster))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := me.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the identity may do what the agents' group may: %v", err)
	}
	if data, err := os.ReadFile(j.BootstrapPath); err != nil || contains(data, "0123456789abcdef") {
		t.Errorf("the bootstrap document still has the token (%v): %s", err, data)
	}
	for path, mode := range map[string]os.FileMode{id.Pair(): 0o600, id.Kubeconfig(): 0o600, j.BootstrapPath: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", path, info, err, mode)
		}
	}
	if _, err := os.Stat(id.Key()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the first request's key is left")
	}
	again, err := j.Ensure(t.Context())
	if err != nil || !again.NotAfter.Equal(id.NotAfter) || w.requests(t, "joins") != 1 {
		t.Errorf("a second start asked again: %v, %d requests", err, w.requests(t, "joins"))
	}
}

func contains(data []byte, s string) bool { return bytes.Contains(data, []byte(s)) }

// crash is an API that lets a request through and then dies, as an agent does that is killed.
type crash struct {
	API
	after func() error
}

func (c crash) CreateCSR(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	out, err := c.API.CreateCSR(ctx, csr)
	if err != nil {
		return nil, err
	}
	return out, c.after()
}

func TestAnAgentKilledInTheMiddleUsesTheSameKeyAndRequest(t *testing.T) {
	w := newWorld(t)
	j := w.joiner(t, "killed")
	connect := j.Connect
	ctx, kill := context.WithCancel(t.Context())
	j.Connect = func(c v1alpha1.ClusterSettings, token string) (API, error) {
		api, err := connect(c, token)
		return crash{API: api, after: func() error { kill(); return context.Canceled }}, err
	}
	if _, err := j.Ensure(ctx); err == nil {
		t.Fatal("the kill did not end it")
	}
	before, err := os.ReadFile(j.Paths.Key())
	if err != nil {
		t.Fatal(err)
	}
	j.Connect = connect
	w.decide(t, certificatesv1.CertificateApproved, "")
	id, err := j.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := os.ReadFile(id.Pair())
	if err != nil {
		t.Fatal(err)
	}
	if !contains(pair, string(before)) {
		t.Error("the certificate is for another key than the first one")
	}
	if n := w.requests(t, "killed"); n != 1 {
		t.Errorf("%d requests were made, want 1", n)
	}
}

func TestADeniedRequestIsReportedWithTheApproversWords(t *testing.T) {
	w := newWorld(t)
	w.decide(t, certificatesv1.CertificateDenied, "the token belongs to another Machine")
	j := w.joiner(t, "denied")
	ctx, stop := context.WithCancel(t.Context())
	var reason atomic.Value
	j.Failed = func(r string, err error) {
		reason.Store(r + ": " + err.Error())
		stop()
	}
	if _, err := j.Ensure(ctx); err == nil {
		t.Fatal("a denied request gave an identity")
	}
	got, _ := reason.Load().(string)
	if !contains([]byte(got), v1alpha1.ReasonCertificateDenied) || !contains([]byte(got), "the token belongs to another Machine") {
		t.Errorf("heard %q", got)
	}
}

func TestATokenThatTheServerDoesNotKnowSaysWhatToDo(t *testing.T) {
	w := newWorld(t)
	j := w.joiner(t, "stranger")
	j.Connect = nil // the real way, with the token, which nobody knows here
	ctx, stop := context.WithCancel(t.Context())
	var heard atomic.Value
	j.Failed = func(_ string, err error) { heard.Store(err.Error()); stop() }
	if _, err := j.Ensure(ctx); err == nil {
		t.Fatal("an unknown token gave an identity")
	}
	if got, _ := heard.Load().(string); !contains([]byte(got), "join token") || contains([]byte(got), "0123456789abcdef") {
		t.Errorf("heard %q: want a sentence about the token, without it", got)
	}
}

func TestACertificateThatIsNotValidYetIsBlamedOnTheClock(t *testing.T) {
	issued := time.Now().Add(time.Hour)
	var heard string
	j := &Joiner{Bootstrap: &node.Bootstrap{NodeName: "n"}, Log: logr.Discard(), Failed: func(_ string, err error) { heard = err.Error() }}
	j.failed(&url.Error{Op: "Post", URL: "https://api", Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{
		Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: issued, NotAfter: issued.Add(time.Hour)},
	}}})
	if want := issued.UTC().Format(time.RFC3339) + " on: the clock is behind"; !strings.Contains(heard, want) {
		t.Errorf("heard %q, want %q in it", heard, want)
	}
}

func TestWithoutIdentityAndTokenThereIsNoWay(t *testing.T) {
	j := &Joiner{Paths: Paths{StateDir: t.TempDir()}, Bootstrap: &node.Bootstrap{NodeName: "n"}, BootstrapPath: "/b", Log: logr.Discard()}
	if _, err := j.Ensure(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func TestRenewalTakesANewKey(t *testing.T) {
	w := newWorld(t)
	w.decide(t, certificatesv1.CertificateApproved, "")
	j := w.joiner(t, "renews")
	id, err := j.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(id.Pair())
	if err != nil {
		t.Fatal(err)
	}
	renews(t, id, j)
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		now, err := os.ReadFile(id.Pair())
		return string(now) != string(before), err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(id.Paths, "renews", time.Now()); err != nil {
		t.Error(err)
	}
}

// setClock is a clock that can be set, which timers do not notice; each timer is over when the test says so.
type setClock struct {
	clock.Clock
	now    atomic.Pointer[time.Time]
	timers chan time.Duration
	over   chan time.Time
}

func (c *setClock) Now() time.Time { return *c.now.Load() }

func (c *setClock) After(d time.Duration) <-chan time.Time {
	c.timers <- d
	return c.over
}

// refusal is an API that refuses every request and says that it was asked.
type refusal struct {
	API
	asked chan struct{}
}

func (r refusal) CreateCSR(context.Context, *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	r.asked <- struct{}{}
	return nil, apierrors.NewBadRequest("no")
}

func TestRenewalNoticesAClockThatIsSet(t *testing.T) {
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	id := &Identity{Paths: Paths{StateDir: t.TempDir()}, Node: "n", NotBefore: born, NotAfter: born.Add(100 * time.Hour)}
	c := &setClock{timers: make(chan time.Duration, 1), over: make(chan time.Time)}
	epoch, due := time.Unix(0, 0), born.Add(90*time.Hour)
	c.now.Store(&epoch)
	api := refusal{asked: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); (&Renewer{API: api, Clock: c, Log: logr.Discard()}).Run(ctx, id) }()
	defer func() { stop(); <-done }()
	for range 2 {
		if wait := <-c.timers; wait > 15*time.Minute {
			t.Fatalf("waits %s before it looks at the clock again", wait)
		}
		if len(api.asked) > 0 {
			t.Fatal("renewed decades before it is due")
		}
		c.over <- time.Time{}
	}
	<-c.timers
	c.now.Store(&due)
	c.over <- time.Time{}
	<-api.asked
	c.now.Store(&epoch) // and back, while the retry is waited for
	if wait, least := <-c.timers, renewalRetries.Duration; wait < least || wait > least+least/5 {
		t.Errorf("tries again after %s, want %s or up to a fifth more", wait, least)
	}
	c.over <- time.Time{}
	<-api.asked
	<-c.timers
}

func TestRenewalIsDueAtSevenToEightTenths(t *testing.T) {
	born := time.Unix(0, 0)
	id := &Identity{NotBefore: born, NotAfter: born.Add(100 * time.Hour)}
	for chance, want := range map[float64]time.Duration{0: 70 * time.Hour, 0.5: 75 * time.Hour, 1: 80 * time.Hour} {
		r := &Renewer{Chance: func() float64 { return chance }}
		if got := r.deadline(id).Sub(born); got.Round(time.Minute) != want {
			t.Errorf("with chance %v due after %s, want %s", chance, got, want)
		}
	}
}

func TestLoadTellsWhyAnIdentityIsOfNoUse(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "half": "-----BEGIN CERTIFICATE-----\nMII"} {
		paths := Paths{StateDir: t.TempDir()}
		if err := os.MkdirAll(filepath.Dir(paths.Pair()), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(paths.Pair(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(paths, "n", time.Now()); !errors.Is(err, ErrNone) {
			t.Errorf("%s: got %v, want ErrNone", name, err)
		}
	}
}

// brokenWatch cannot watch: the request is read now and then instead.
type brokenWatch struct{ API }

func (brokenWatch) WatchCSR(context.Context, string, string) (watch.Interface, error) {
	return nil, apierrors.NewForbidden(certificatesv1.Resource("certificatesigningrequests"), "", errors.New("no watch"))
}

func TestWithoutAWatchTheRequestIsRead(t *testing.T) {
	w := newWorld(t)
	w.decide(t, certificatesv1.CertificateApproved, "")
	j := w.joiner(t, "unwatched")
	connect := j.Connect
	j.Connect = func(c v1alpha1.ClusterSettings, token string) (API, error) {
		api, err := connect(c, token)
		return brokenWatch{api}, err
	}
	if _, err := j.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}
