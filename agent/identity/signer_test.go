package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/test/apiserver"
)

// The authority that signs clients' certificates is another one than that of the API server's own, and may be replaced while the
// agent has a certificate of it: as long as both count, the agent gets one of the new one in the usual way.
func TestTheSignerOfClientCertificatesIsAnotherAndMayChange(t *testing.T) {
	server := apiserver.Start(t, apiserver.WithoutCRDs())
	next, err := apiserver.NewCA("another-client-ca")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldOn(t, server)
	j := w.joiner(t, "signed")
	if slices.Equal(server.Config.CAData, server.ClientCA.CertPEM) {
		t.Fatal("the API server's own certificate has the same authority, so this proves nothing")
	}
	stop := sign(t, server.Config, server.ClientCA)
	id, err := j.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := asks(t, id, j); err != nil {
		t.Fatalf("with a certificate of the first signer: %v", err)
	}

	administrator := user(t, server, next)
	accepts := func(what string, cas [][]byte, config *rest.Config, want bool) {
		t.Helper()
		if err := os.WriteFile(server.ClientCA.CertFile(), slices.Concat(cas...), 0o600); err != nil {
			t.Fatal(err)
		}
		poll(t, what, func(ctx context.Context) bool {
			err := list(ctx, config)
			return want && err == nil || !want && apierrors.IsUnauthorized(err)
		})
	}
	accepts("the API server takes both", [][]byte{server.ClientCA.CertPEM, next.CertPEM}, administrator, true)
	before, err := os.ReadFile(id.Pair())
	if err != nil {
		t.Fatal(err)
	}
	renews(t, id, j)
	defer sign(t, administrator, next)()
	poll(t, "the agent has another certificate", func(context.Context) bool {
		now, err := os.ReadFile(id.Pair())
		return err == nil && string(now) != string(before)
	})
	accepts("the first signer counts no more", [][]byte{next.CertPEM}, user(t, server, server.ClientCA), false)
	if err := asks(t, id, j); err != nil {
		t.Errorf("with a certificate of the next signer alone: %v", err)
	}
}

// renews has an identity renewed now, until the test ends.
func renews(t *testing.T, id *Identity, j *Joiner) {
	t.Helper()
	api, err := kubeapi.New(id.RESTConfig(j.Bootstrap.Spec.Cluster))
	if err != nil {
		t.Fatal(err)
	}
	due := *id
	due.NotBefore, due.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&Renewer{API: api, Clock: clock.RealClock{}, Log: logr.Discard()}).Run(ctx, &due)
	}()
	t.Cleanup(func() { stop(); <-done })
}

// asks has an agent do what it may, over a connection of its own.
func asks(t *testing.T, id *Identity, j *Joiner) error {
	t.Helper()
	return list(t.Context(), id.RESTConfig(j.Bootstrap.Spec.Cluster))
}

func list(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.Dial = (&net.Dialer{}).DialContext // or client-go has the connection of the certificate before it
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
	return err
}

// user is an administrator by a signer's word.
func user(t *testing.T, server *apiserver.Server, ca *apiserver.CA) *rest.Config {
	t.Helper()
	config, err := ca.AddUser(envtest.User{Name: "administrator", Groups: []string{"system:masters"}}, rest.AnonymousClientConfig(server.Config))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func poll(t *testing.T, what string, is func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) { return is(ctx), nil })
	if err != nil {
		t.Fatalf("in vain: %s", what)
	}
}

// sign approves and signs agents' requests with an authority until what it returns is called.
func sign(t *testing.T, config *rest.Config, ca *apiserver.CA) (stop func()) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			all, err := client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
			for i := range all.Items {
				if csr := &all.Items[i]; err == nil && csr.Status.Certificate == nil {
					err = grant(ctx, client, csr, ca)
				}
			}
			if err != nil && ctx.Err() == nil {
				t.Log(err)
			}
			return false, nil
		})
	}()
	return func() { cancel(); <-done }
}

func grant(ctx context.Context, client kubernetes.Interface, csr *certificatesv1.CertificateSigningRequest, ca *apiserver.CA) error {
	csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
	csr, err := client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if csr.Status.Certificate, err = signed(csr.Spec.Request, ca); err != nil {
		return err
	}
	_, err = client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, csr, metav1.UpdateOptions{})
	return err
}

func signed(encoded []byte, ca *apiserver.CA) ([]byte, error) {
	block, _ := pem.Decode(encoded)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	authority, _ := pem.Decode(ca.CertPEM)
	parent, certErr := x509.ParseCertificate(authority.Bytes)
	parsed, keyErr := keyutil.ParsePrivateKeyPEM(ca.KeyPEM)
	key, is := parsed.(*ecdsa.PrivateKey)
	if err := errors.Join(certErr, keyErr); err != nil || !is {
		return nil, errors.Join(errors.New("the authority has no key"), err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: request.Subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, parent, request.PublicKey, key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}
