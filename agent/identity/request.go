package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// API is what a certificate request takes.
type API interface {
	CreateCSR(context.Context, *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error)
	GetCSR(ctx context.Context, name string) (*certificatesv1.CertificateSigningRequest, error)
	WatchCSR(ctx context.Context, name, resourceVersion string) (watch.Interface, error)
}

// DeniedError says that a certificate request was refused for good.
type DeniedError struct {
	// Request is the request's name.
	Request string
	// Message is the approver's.
	Message string
}

// Error names the request and gives the approver's reason.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("certificate request %s was not granted: %s", e.Request, e.Message)
}

// pollInterval is how often a request is looked at where it may not be watched.
const pollInterval = 250 * time.Millisecond

// holder is who a certificate is for.
type holder struct {
	// prefix begins the name of the request.
	prefix  string
	node    string
	subject pkix.Name
	signer  string
}

func agentOf(node string) holder {
	return holder{
		prefix: "drover-agent", node: node, signer: certificatesv1.KubeAPIServerClientSignerName,
		subject: pkix.Name{CommonName: v1alpha1.AgentUserPrefix + node, Organization: []string{v1alpha1.AgentsGroup}},
	}
}

// obtain sends a request for the key and waits for the certificate. A request of that name with the same key, from
// an earlier try, is used again.
func obtain(ctx context.Context, api API, key *ecdsa.PrivateKey, who holder, attempt int) ([]byte, error) {
	encoded, err := request(key, who.subject)
	if err != nil {
		return nil, err
	}
	print, err := fingerprint(key)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s-%s-%s", who.prefix, who.node, print)
	if attempt > 0 {
		name = fmt.Sprintf("%s-%d", name, attempt)
	}
	csr, err := api.CreateCSR(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    encoded,
			SignerName: who.signer,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	})
	if apierrors.IsAlreadyExists(err) {
		if csr, err = api.GetCSR(ctx, name); err == nil && !sameKey(csr.Spec.Request, key) {
			return nil, &DeniedError{Request: name, Message: "another key's request has that name; delete it"}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("request a certificate for %s: %w", who.subject.CommonName, err)
	}
	return await(ctx, api, csr)
}

func sameKey(encoded []byte, key *ecdsa.PrivateKey) bool {
	block, _ := pem.Decode(encoded)
	if block == nil {
		return false
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	return err == nil && key.PublicKey.Equal(csr.PublicKey)
}

// await watches the request until it is answered. A watch that ends is opened again; where watching is forbidden or
// broken, the request is read now and then.
func await(ctx context.Context, api API, csr *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	for {
		if cert, err := answer(csr); cert != nil || err != nil {
			return cert, err
		}
		cert, err := follow(ctx, api, csr)
		if cert != nil || errors.As(err, new(*DeniedError)) {
			return cert, err
		}
		if err := backoff.Wait(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("wait for certificate request %s: %w", csr.Name, err)
		}
		fresh, err := api.GetCSR(ctx, csr.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("certificate request %s was deleted before it was answered", csr.Name)
		case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
			return nil, fmt.Errorf("read certificate request %s: %w", csr.Name, err)
		case err == nil:
			csr = fresh
		}
	}
}

// follow reads one watch to its end or to the answer.
func follow(ctx context.Context, api API, csr *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	w, err := api.WatchCSR(ctx, csr.Name, csr.ResourceVersion)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		seen, ok := event.Object.(*certificatesv1.CertificateSigningRequest)
		if !ok {
			return nil, apierrors.FromObject(event.Object)
		}
		if event.Type == watch.Deleted {
			return nil, nil
		}
		if cert, err := answer(seen); cert != nil || err != nil {
			return cert, err
		}
	}
	return nil, ctx.Err()
}

// answer is the certificate, a DeniedError, or neither yet.
func answer(csr *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	for _, c := range csr.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed) {
			return nil, &DeniedError{Request: csr.Name, Message: fmt.Sprintf("%s: %s", c.Reason, c.Message)}
		}
	}
	if cert := bytes.TrimSpace(csr.Status.Certificate); len(cert) > 0 {
		return append(cert, '\n'), nil
	}
	return nil, nil
}
