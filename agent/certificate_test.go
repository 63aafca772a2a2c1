package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// certified is a node's agent whose certificate is good for 100 hours from birth on.
func certified(t *testing.T, birth time.Time) *Agent {
	t.Helper()
	a, g := machine(t)
	a.bootstrap = &g.Bootstrap
	certify(t, a, birth)
	return a
}

// certify gives an agent such a certificate.
func certify(t *testing.T, a *Agent, birth time.Time) {
	t.Helper()
	key, keyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: v1alpha1.AgentUserPrefix + "node-1"},
		NotBefore: birth, NotAfter: birth.Add(100 * time.Hour),
	}
	der, certErr := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	pair := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	path := a.identityPaths().Pair()
	if err := errors.Join(keyErr, certErr, err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, pair, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestTheEndOfEachCertificateIsInTheStatus(t *testing.T) {
	birth := time.Now().Add(-200 * time.Hour)
	a := certified(t, birth)
	a.paths.KubeletDir = t.TempDir()
	end := metav1.NewTime(birth.Add(100 * time.Hour).UTC().Truncate(time.Second)) // which is past
	want := []v1alpha1.CertificateStatus{{Name: v1alpha1.CertificateAgent, NotAfter: end}}
	if diff := cmp.Diff(want, a.observe(nil, time.Now()).Certificates); diff != "" {
		t.Errorf("before the kubelet has any (-want +got):\n%s", diff)
	}
	pair, err := os.ReadFile(a.identityPaths().Pair())
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{v1alpha1.CertificateKubeletClient: "kubelet-client-current.pem", v1alpha1.CertificateKubeletServing: "kubelet-server-current.pem"} {
		path := filepath.Join(a.paths.KubeletCertDir(), file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, pair, 0o600)); err != nil {
			t.Fatal(err)
		}
		want = append(want, v1alpha1.CertificateStatus{Name: name, NotAfter: end})
	}
	slices.SortFunc(want, func(a, b v1alpha1.CertificateStatus) int { return strings.Compare(a.Name, b.Name) })
	if diff := cmp.Diff(want, a.observe(nil, time.Now()).Certificates); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestACertificateThatIsNotRenewedIsSeenWhileThereIsTime(t *testing.T) {
	birth := time.Now()
	a := certified(t, birth)
	end := birth.Add(100 * time.Hour).UTC().Truncate(time.Second)
	if got := a.certificate(birth.Add(85 * time.Hour)); got == nil || got.Overdue || !got.NotAfter.Equal(end) {
		t.Errorf("got %+v, although the agent may still be about to renew it", got)
	}
	away := errors.New("the API server is away")
	a.renewalFailed(away)
	if len(a.dirty) != 1 {
		t.Error("a renewal that failed does not have the status looked at")
	}
	if got := a.certificate(birth.Add(91 * time.Hour)); got == nil || !got.Overdue || !errors.Is(got.Failure, away) {
		t.Errorf("with 9 of 100 hours left: got %+v", got)
	}
	if got := a.certificate(birth.Add(101 * time.Hour)); got != nil {
		t.Errorf("got %+v, of a certificate that has ended", got)
	}
}

func TestKubeProxyIsNotHealthyWithACertificateThatEnds(t *testing.T) {
	a := certified(t, time.Now().Add(-100*time.Hour+time.Minute))
	err := a.proxyCertificate()(t.Context())
	if err == nil || !strings.Contains(err.Error(), "agent.pem") {
		t.Errorf("got %v, want the certificate that it reads Services with", err)
	}
}

func TestACertificateThatEndedStopsNoComponent(t *testing.T) {
	a := certified(t, time.Now().Add(-1000*time.Hour))
	a.restarted = hadIdentity(a.identityPaths(), "node-1", nil)
	processes := []supervise.Process{{Name: v1alpha1.ComponentContainerd}, {Name: v1alpha1.ComponentKubelet}}
	if got := a.startable(processes); len(got) != 1 {
		t.Errorf("a new machine starts %v, want containerd alone", got)
	}
	a.restarted = hadIdentity(a.identityPaths(), "node-1", a.installer.Running())
	if got := a.startable(processes); len(got) != 2 {
		t.Errorf("only %v is to go on: the kubelet, which has a certificate of its own, would be stopped", got)
	}
}

// The agent would end, and be started again, each second for ever, and with it what starts the kubelet again.
func TestANodeWhoseAgentsCertificateEndedIsLookedAfterUntilItHasAnotherOne(t *testing.T) {
	a := certified(t, time.Now().Add(-1000*time.Hour))
	a.boot, a.joined = bootreport.New(a.opts.RunDir, logr.Discard()), make(chan struct{})
	a.opts.BootstrapPath = filepath.Join(a.opts.StateDir, "bootstrap.json")
	identified := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		_, _, err := a.identify(ctx)
		identified <- err
	}()
	said := func(context.Context) (bool, error) {
		data, err := os.ReadFile(bootreport.Path(a.opts.RunDir))
		return err == nil && strings.Contains(string(data), "what runs on this machine goes on"), nil
	}
	if err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, said); err != nil {
		t.Fatalf("the boot report is %+v", bootReport(t, a.opts.RunDir))
	}
	select {
	case err := <-identified:
		t.Fatalf("it ended with %v, and the agent with it", err)
	default:
	}
	certify(t, a, time.Now())
	if err := <-identified; err != nil {
		t.Errorf("with a certificate that is good again: %v", err)
	}
}

func TestANewMachineThatCanGetNoCertificateIsNoNode(t *testing.T) {
	a := certified(t, time.Now().Add(-1000*time.Hour))
	a.restarted = false
	if _, _, err := a.identify(t.Context()); !errors.Is(err, identity.ErrNone) {
		t.Errorf("got %v", err)
	}
}

func TestANewJoinTokenIsFound(t *testing.T) {
	a := certified(t, time.Now().Add(-1000*time.Hour))
	a.opts.BootstrapPath = bootstrap(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := a.identify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was about to join", err)
	}
	if got := a.bootstrap.Token; got != "abcdef.0123456789abcdef" {
		t.Errorf("it would join with the token %q", got)
	}
}
