package apiserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// CA signs client certificates. Its key is at hand, other than that of envtest's own, so that a controller manager
// can sign requests with it.
type CA struct {
	// CertPEM and KeyPEM are the authority's own.
	CertPEM, KeyPEM []byte

	certificate *x509.Certificate
	key         crypto.Signer
	dir         string
}

// NewCA makes a certificate authority that is good for a day.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificateTemplate(pkix.Name{CommonName: name})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	ca := &CA{CertPEM: encodeCertificate(der), key: key}
	if ca.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	ca.KeyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	return ca, err
}

// CertFile and KeyFile are where the API server finds the authority, once it was started.
func (c *CA) CertFile() string { return filepath.Join(c.dir, "client-ca.crt") }

// KeyFile is the file with the authority's key.
func (c *CA) KeyFile() string { return filepath.Join(c.dir, "client-ca.key") }

// Configure implements envtest's authentication: the API server accepts what this authority signs.
func (c *CA) Configure(dir string, args *envtest.Arguments) error {
	c.dir = dir
	args.Set("client-ca-file", c.CertFile())
	return nil
}

// Start implements envtest's authentication.
func (c *CA) Start() error {
	if err := os.WriteFile(c.CertFile(), c.CertPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.KeyFile(), c.KeyPEM, 0o600)
}

// Stop implements envtest's authentication; the files go with their directory.
func (c *CA) Stop() error { return nil }

// AddUser implements envtest's authentication with a client certificate.
func (c *CA) AddUser(user envtest.User, base *rest.Config) (*rest.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificateTemplate(pkix.Name{CommonName: user.Name, Organization: user.Groups})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key)
	if err != nil {
		return nil, fmt.Errorf("sign a client certificate for %s: %w", user.Name, err)
	}
	config := rest.CopyConfig(base)
	config.CertData = encodeCertificate(der)
	config.KeyData, err = keyutil.MarshalPrivateKeyToPEM(key)
	return config, err
}

func certificateTemplate(subject pkix.Name) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
