package bundle

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// fetcher is what the test binary calls itself to be a process that fetches a bundle.
const fetcher = "bundle-fetcher"

// TestMain lets the test binary stand in for other programs: a kubelet, which reads its input to the end and leaves,
// and an agent that fetches a bundle.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "kubelet":
		_, _ = io.Copy(io.Discard, os.Stdin)
	case fetcher:
		if err := fetch(os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

func fetch(root, certificates, image string) error {
	pemBytes, err := os.ReadFile(certificates)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pemBytes)
	_, err = (&Store{Root: root, Roots: func() *x509.CertPool { return roots }, Log: logr.Discard()}).Ensure(context.Background(), image)
	return err
}

func TestEnsureConvergesAfterAKill(t *testing.T) {
	h := newHost(t)
	reference, store, layer := h.push(t, smallBundle(t)), h.store(t), largestLayer(t)
	midway, release := make(chan struct{}), make(chan struct{})
	h.faults = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, layer) {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			close(midway)
			<-release // the body never comes
		})
	}
	t.Cleanup(func() { close(release) })
	child := exec.Command(os.Args[0], store.Root, writeCertificate(t, h), reference)
	child.Args[0] = fetcher
	child.Stderr = os.Stderr
	must(t, child.Start())
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case <-midway:
	case err := <-ended:
		t.Fatalf("the fetch ended before it was killed: %v", err)
	}
	must(t, child.Process.Kill())
	if err := <-ended; err == nil {
		t.Error("the fetch succeeded before it was killed")
	}
	if got := names(t, store.Root); len(got) == 0 || !strings.HasPrefix(got[0], temporaryPrefix) {
		t.Errorf("the killed fetch left %v, want work in progress", got)
	}

	h.faults = nil
	bundle, err := store.Ensure(t.Context(), reference)
	must(t, err)
	for _, name := range names(t, store.Root) {
		if !strings.HasPrefix(name, filepath.Base(bundle.Dir)) {
			t.Errorf("%s is left over", name)
		}
	}
}

func writeCertificate(t *testing.T, h *host) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600))
	return path
}
