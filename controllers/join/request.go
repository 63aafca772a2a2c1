package join

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

// minRSABits is the least that a key may have.
const minRSABits = 2048

// request is a certificate request, taken apart.
type request struct {
	*x509.CertificateRequest

	// keyHash is the SHA-256 of the public key (its SubjectPublicKeyInfo), in hexadecimal digits.
	keyHash string
	// isRSA: the key can encipher others, so the usage that says so makes sense.
	isRSA bool
}

// parseRequest takes a request apart. It fails when this is not exactly one PEM block with a request that is signed
// by its own key, of a kind and size that nobody forges.
func parseRequest(csr *certificatesv1.CertificateSigningRequest) (*request, error) {
	block, rest := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("is not exactly one PEM block of type CERTIFICATE REQUEST")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, fmt.Errorf("is not signed by the key that it has: %w", err)
	}
	r := &request{CertificateRequest: parsed}
	switch key := parsed.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("has an RSA key of %d bits; at least %d are needed", key.N.BitLen(), minRSABits)
		}
		r.isRSA = true
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return nil, fmt.Errorf("has a key on curve %s; P-256 or better is needed", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("has a key of the unknown kind %T", key)
	}
	sum := sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
	r.keyHash = hex.EncodeToString(sum[:])
	return r, nil
}

// isUndecided is true for a request that nobody has answered.
func isUndecided(csr *certificatesv1.CertificateSigningRequest) bool {
	return len(csr.Status.Certificate) == 0 && len(csr.Status.Conditions) == 0
}

// isApproved is true for a request that got, or gets, its certificate.
func isApproved(csr *certificatesv1.CertificateSigningRequest) bool {
	approved := false
	for _, condition := range csr.Status.Conditions {
		switch condition.Type {
		case certificatesv1.CertificateApproved:
			approved = condition.Status == corev1.ConditionTrue || condition.Status == ""
		case certificatesv1.CertificateDenied:
			return false
		}
	}
	return approved
}
