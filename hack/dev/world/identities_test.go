package world

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// Whoever has a certificate that aggregated APIs take for the API server's is whoever it says.
func TestAggregatedAPIsTakeNoNodesCertificateForTheAPIServers(t *testing.T) {
	l := layout.Layout{Repository: t.TempDir()}
	if err := writePKI(l); err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(readCertificate(t, l.FrontProxyPKI("ca.crt")))
	options := x509.VerifyOptions{Roots: trusted, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	proxy := readCertificate(t, l.FrontProxyPKI("client.crt"))
	if _, err := proxy.Verify(options); err != nil || proxy.Subject.CommonName != frontProxyUser {
		t.Errorf("the certificate of %s is not trusted: %v", proxy.Subject, err)
	}
	if _, err := readCertificate(t, l.PKI("admin.crt")).Verify(options); err == nil {
		t.Error("a certificate of the cluster's own is trusted")
	}
}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatalf("%s holds no certificate", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
