package health

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestHTTPProbes(t *testing.T) {
	cases := []struct {
		reason string
		probe  func(context.Context, string) error
		code   int
		body   string
		want   string
	}{
		{"a kubelet that is well", KubeletAnswers, 200, "ok", ""},
		{"a kubelet that stopped syncing pods names the check", KubeletAnswers, 500, "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed", "kubelet says 500: syncloop failed: reason withheld"},
		{"kube-proxy that is well", ProxyAnswers, 200, `{"lastUpdated":"2026-01-02T03:04:05Z"}`, ""},
		{"kube-proxy that is behind says since when, not how long", ProxyAnswers, 503, `{"lastUpdated":"2026-01-02T03:04:05.6Z","currentTime":"2026-01-02T03:14:05Z"}`, "kube-proxy says 503: it has not written its rules since 2026-01-02T03:04:05Z"},
		{"kube-proxy that never wrote a rule", ProxyAnswers, 503, `{"lastUpdated":"0001-01-01T00:00:00Z"}`, "kube-proxy says 503: it has not written its rules yet"},
	}
	for _, c := range cases {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
			_, _ = w.Write([]byte(c.body))
		}))
		got := ""
		if err := c.probe(t.Context(), server.URL); err != nil {
			got = err.Error()
		}
		server.Close()
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}

func TestRefusedConnectionReadsTheSameEachTime(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	if err := KubeletAnswers(t.Context(), url); err == nil || err.Error() != "kubelet does not answer: connection refused" {
		t.Errorf("got %v", err)
	}
	if err := CRIAnswers(t.Context(), filepath.Join(t.TempDir(), "none.sock")); err == nil || !strings.Contains(err.Error(), "containerd does not answer") {
		t.Errorf("got %v", err)
	}
}

func TestDiskThresholds(t *testing.T) {
	cases := []struct {
		reason      string
		free, total uint64
		threshold   string
		want        bool
	}{
		{"more than a quantity is free", 2 << 30, 10 << 30, "1Gi", false},
		{"less is", 1<<30 - 1, 10 << 30, "1Gi", true},
		{"more than a share is free", 6, 100, "5%", false},
		{"less is", 4, 100, "5%", true},
		{"a filesystem that counts no inodes has enough", 0, 0, "5%", false},
	}
	for _, c := range cases {
		got, err := below(c.free, c.total, c.threshold)
		if err != nil || got != c.want {
			t.Errorf("%s: below(%d, %d, %s) = %v, %v, want %v", c.reason, c.free, c.total, c.threshold, got, err, c.want)
		}
	}
	dirs := map[string]string{"nodefs": t.TempDir()}
	if err := DiskFree(dirs, map[string]string{"nodefs.available": "1", "memory.available": "100Mi"})(t.Context()); err != nil {
		t.Errorf("a byte free: %v", err)
	}
	var failure *Failure
	if err := DiskFree(dirs, map[string]string{"nodefs.available": "100%", "nodefs.inodesFree": "0%"})(t.Context()); err != nil {
		t.Errorf("signals that are turned off: %v", err)
	}
	if err := DiskFree(dirs, map[string]string{"nodefs.available": "8000Ti"})(t.Context()); !errors.As(err, &failure) || failure.Reason != fleetv1.ReasonDiskPressure {
		t.Errorf("got %v, want a failure for %s", err, fleetv1.ReasonDiskPressure)
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 900e6, time.UTC)
	cases := []struct {
		reason string
		server time.Time
		err    error
		want   string
	}{
		{"the same second", now.Truncate(time.Second), nil, ""},
		{"two seconds ahead, as the header counts whole seconds", now.Truncate(time.Second).Add(-2 * time.Second), nil, ""},
		{"five seconds ahead", now.Add(-5 * time.Second), nil, "ahead"},
		{"five seconds behind", now.Add(5 * time.Second), nil, "behind"},
		{"a certificate that is not valid yet proves it without an answer", time.Time{}, &url.Error{Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{
			Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)},
		}}}, "clock says 2026-01-02T03:04:05Z, but the certificate is valid only from 2026-01-02T04:04:05Z"},
		{"an API server out of reach proves nothing", time.Time{}, errors.New("no route"), "inconclusive"},
	}
	for _, c := range cases {
		check := ClockMatches(func(context.Context) (time.Time, error) { return c.server, c.err }, func() time.Time { return now })
		err := check(t.Context())
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.reason, err, c.want)
		}
	}
}

func TestCertificateExpiry(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-99 * time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	if err := CertificateValid(path, 30*time.Minute, clock)(t.Context()); err != nil {
		t.Errorf("a certificate good for an hour: %v", err)
	}
	if err := CertificateValid(path, 2*time.Hour, clock)(t.Context()); err == nil || !strings.Contains(err.Error(), "was not renewed") {
		t.Errorf("a certificate that ends too soon: %v", err)
	}
	now = now.Add(90 * time.Minute)
	if err := CertificateValid(path, time.Hour, clock)(t.Context()); err == nil || !strings.Contains(err.Error(), "whether the clock is right") {
		t.Errorf("a certificate that has ended, or so this clock says: %v", err)
	}
	now = now.Add(-21*time.Hour - 30*time.Minute)
	if err := CertificateValid(path, 48*time.Hour, clock)(t.Context()); err != nil {
		t.Errorf("a certificate with a fifth of its life left, when a margin is longer than its life could bear: %v", err)
	}
	if err := CertificateValid(path+".none", time.Hour, clock)(t.Context()); err != nil {
		t.Errorf("a certificate that was not issued yet: %v", err)
	}
	both := All(func(context.Context) error { return nil }, func(context.Context) error { return errors.New("second") })
	if err := both(t.Context()); err == nil || err.Error() != "second" {
		t.Errorf("All returned %v", err)
	}
}

func TestKubeProxySaysWhatItWrote(t *testing.T) {
	for want, body := range map[string]string{
		"[] <nil>":          `{"lastUpdated":"2026-01-02T03:04:05Z","healthy":true}`,
		"[IPv6] <nil>":      `{"status":{"IPv4":{"lastUpdated":"0001-01-01T00:00:00Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":true}}}`,
		"[IPv4 IPv6] <nil>": `{"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":false}}}`,
		"[] kube-proxy answers \"?\": invalid character '?' looking for beginning of value": "?",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		families, err := ProxyWrote(t.Context(), server.URL)
		server.Close()
		if got := fmt.Sprint(families, " ", err); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
