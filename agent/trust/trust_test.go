package trust_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/agent/trust"
)

// handshake is why a client does not trust a server whose certificate is valid between two times; the client has another
// authority if it is a stranger.
func handshake(t *testing.T, from, to time.Time, stranger bool) error {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	if !stranger {
		roots.AddCert(certificate)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
		t.Fatal("the certificate was trusted")
	}
	return err
}

func TestTheAdviceIsAboutWhatIsWrong(t *testing.T) {
	now := time.Now()
	text := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	for name, c := range map[string]struct {
		from, to time.Duration
		stranger bool
		want     []string
	}{
		"too young":     {time.Hour, 2 * time.Hour, false, []string{"clock says " + text(0), "only from " + text(time.Hour), "the clock is behind"}},
		"too old":       {-2 * time.Hour, -time.Hour, false, []string{"clock says " + text(0), "ended " + text(-time.Hour), "if it is ahead"}},
		"of a stranger": {-time.Hour, time.Hour, true, []string{"check the server CA"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := handshake(t, now.Add(c.from), now.Add(c.to), c.stranger)
			explained := trust.Explain(err, now)
			for _, want := range c.want {
				if !strings.Contains(explained.Error(), want) {
					t.Errorf("got %q, want %q in it", explained, want)
				}
			}
			if !errors.Is(explained, err) {
				t.Error("the cause is lost")
			}
			if _, is := trust.NotYetValid(err, now); is != (c.from > 0) {
				t.Errorf("not yet valid: %v", is)
			}
		})
	}
}

func TestAnotherErrorIsLeftAlone(t *testing.T) {
	err := errors.New("no route to host")
	if got := trust.Explain(err, time.Now()); got != err { //nolint:errorlint // the very same one is meant
		t.Errorf("got %v", got)
	}
}
