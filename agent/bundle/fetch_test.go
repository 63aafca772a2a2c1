package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

func blobOf(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
}

// largestLayer is the digest of the layer of smallBundle that does not compress.
func largestLayer(t *testing.T) string {
	t.Helper()
	layers, err := smallBundle(t).Layers()
	must(t, err)
	digest, err := layers[0].Digest()
	must(t, err)
	return digest.String()
}

// cut sends at most n bytes of a response and then breaks the connection.
func cut(next http.Handler, w http.ResponseWriter, r *http.Request, n int) {
	whole := httptest.NewRecorder()
	next.ServeHTTP(whole, r)
	for key, values := range whole.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(whole.Code)
	body := whole.Body.Bytes()
	_, _ = w.Write(body[:min(n, len(body))])
	if n < len(body) {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestEnsureResumesABrokenConnectionWhereItStopped(t *testing.T) {
	h := newHost(t)
	reference, store, layer := h.push(t, smallBundle(t)), h.store(t), largestLayer(t)
	var attempts atomic.Int32
	h.faults = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, layer) {
				next.ServeHTTP(w, r)
				return
			}
			if n := attempts.Add(1); n > 1 && r.Header.Get("Range") == "" {
				t.Errorf("attempt %d asked for the whole blob again", n)
			}
			cut(next, w, r, 40_000)
		})
	}
	_, err := store.Ensure(t.Context(), reference)
	must(t, err)
	if attempts.Load() < 7 {
		t.Errorf("%d attempts for 300 kB in pieces of 40 kB, want more", attempts.Load())
	}
}

func TestEnsureSaysWhatIsWrong(t *testing.T) {
	onBlobs := func(reply func(next http.Handler, w http.ResponseWriter, r *http.Request)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if blobOf(r) {
					reply(next, w, r)
				} else {
					next.ServeHTTP(w, r)
				}
			})
		}
	}
	always := func(status int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		}
	}
	tests := map[string]struct {
		reason string
		faults func(http.Handler) http.Handler
		change func(h *host, store *Store, reference string) string
		want   error
		says   string
	}{
		"FlippedByteInABlob": {reason: "nothing may be used that is not what its digest says", want: ErrDigestMismatch, says: "want sha256:",
			faults: onBlobs(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				whole := httptest.NewRecorder()
				next.ServeHTTP(whole, r)
				body := whole.Body.Bytes()
				body[len(body)/2] ^= 1
				_, _ = w.Write(body)
			})},
		"AlwaysBroken": {reason: "a connection that never brings a byte is given up", want: ErrUnreachable, says: "the connection broke",
			faults: onBlobs(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, largestLayer(t)) {
					cut(next, w, r, 0)
					return
				}
				next.ServeHTTP(w, r)
			})},
		"NoSuchDigest": {reason: "an unknown digest is a NodeBundle to correct", want: ErrNotFound, says: "in the NodeBundle",
			change: func(h *host, _ *Store, _ string) string { return h.repository() + "@sha256:" + sum("other") }},
		"NotAnonymous": {reason: "agents have no registry credentials", want: ErrUnreachable, says: "anonymously", faults: always(http.StatusForbidden)},
		"Overloaded":   {reason: "a registry that fails is not one that lacks the image", want: ErrUnreachable, says: "503", faults: always(http.StatusServiceUnavailable)},
		"Down": {reason: "the address is what the user can check", want: ErrUnreachable, says: "check the address",
			change: func(h *host, _ *Store, reference string) string { h.Close(); return reference }},
		"UntrustedCertificate": {reason: "the CA comes with the bootstrap data", want: ErrUnreachable, says: "certificate is not trusted",
			change: func(_ *host, store *Store, reference string) string { store.Roots = nil; return reference }},
		"Tag": {reason: "a tag can be moved", want: ErrInvalid, says: "by digest",
			change: func(h *host, _ *Store, _ string) string { return h.repository() + ":latest" }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			reference, store := h.push(t, smallBundle(t)), h.store(t)
			h.faults = tc.faults
			if tc.change != nil {
				reference = tc.change(h, store, reference)
			}
			_, err := store.Ensure(t.Context(), reference)
			if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("%s: got %v\nwant %v that says %q", tc.reason, err, tc.want, tc.says)
			}
			if got := names(t, store.Root); len(got) != 0 {
				t.Errorf("%s: left on disk: %v", tc.reason, got)
			}
		})
	}
}

func TestEnsureRefusesHostileLayers(t *testing.T) {
	good := entry{name: "bin/runc", content: "runc"}
	tests := map[string]struct {
		reason  string
		files   []File
		entries []entry
	}{
		"ParentDirectory":  {"a tar must not write beside the bundle", []File{listed("bin/runc", "runc")}, []entry{good, {name: "../evil", content: "x"}}},
		"AbsolutePath":     {"a tar must not write anywhere", []File{listed("bin/runc", "runc")}, []entry{good, {name: "/etc/evil", content: "x"}}},
		"ListedParent":     {"not even when the image lists it", []File{listed("../evil", "x")}, []entry{{name: "../evil", content: "x"}}},
		"ListedAbsolute":   {"not even when the image lists it", []File{listed("/etc/evil", "x")}, []entry{{name: "/etc/evil", content: "x"}}},
		"ListedMetadata":   {"the proof is not a file of the bundle", []File{listed(".oci/manifest.json", "x")}, []entry{{name: ".oci/manifest.json", content: "x"}}},
		"Symlink":          {"what follows could be written through it", []File{listed("bin/runc", "runc")}, []entry{{name: "bin/runc", kind: tar.TypeSymlink, link: "/etc/passwd"}}},
		"SymlinkDirectory": {"what follows could be written through it", []File{listed("bin/runc", "runc")}, []entry{{name: "bin", kind: tar.TypeSymlink, link: "/etc"}, good}},
		"HardLinkOutside":  {"a link to a file of the host would let it be used", []File{listed("bin/runc", "runc")}, []entry{{name: "bin/runc", kind: tar.TypeLink, link: "/etc/passwd"}}},
		"HardLinkToOther":  {"a link is the content that is listed", []File{listed("bin/runc", "runc"), listed("bin/kubelet", "kubelet")}, []entry{good, {name: "bin/kubelet", kind: tar.TypeLink, link: "bin/runc"}}},
		"Device":           {"a bundle has no devices", []File{listed("bin/runc", "runc")}, []entry{{name: "bin/runc", kind: tar.TypeChar}}},
		"Twice":            {"the second could differ from the first", []File{listed("bin/runc", "runc")}, []entry{good, good}},
		"Missing":          {"a bundle is whole", []File{listed("bin/runc", "runc"), listed("bin/kubelet", "kubelet")}, []entry{good}},
		"NoList":           {"an image that is no bundle", nil, []entry{good}},
		"SetUserID":        {"nothing in a bundle runs as another user", []File{{Path: "bin/runc", Mode: 0o4755, Size: 4, SHA256: sum("runc")}}, []entry{good}},
	}
	h := newHost(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			store := h.store(t)
			_, err := store.Ensure(t.Context(), h.push(t, imageOf(t, tc.files, layerOf(t, tc.entries...))))
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: got %v, want ErrInvalid", tc.reason, err)
			}
			if got := names(t, store.Root); len(got) != 0 {
				t.Errorf("%s: left on disk: %v", tc.reason, got)
			}
		})
	}
}

func TestUnpackWritesNoMoreThanIsListed(t *testing.T) {
	long := entry{name: "bin/runc", content: strings.Repeat("x", 1<<20)}
	padded := append(tarOf(t, []entry{{name: "bin/runc", content: "runc"}}), make([]byte, 2*tarOverhead)...)
	for reason, tc := range map[string]struct {
		content []byte
		want    error
	}{
		"a file longer than listed is not begun":             {tarOf(t, []entry{long}), ErrDigestMismatch},
		"a file shorter than listed is another one":          {tarOf(t, []entry{{name: "bin/runc", content: "run"}}), ErrDigestMismatch},
		"what follows the archive is not unpacked for hours": {padded, ErrInvalid},
	} {
		t.Run(reason, func(t *testing.T) {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			must(t, err)
			defer func() { _ = root.Close() }()
			u := &unpacker{root: root, files: map[string]File{"bin/runc": listed("bin/runc", "runc")}, written: map[string]bool{}}
			encoder, err := zstd.NewWriter(nil)
			must(t, err)
			stored := encoder.EncodeAll(tc.content, nil)
			digest := v1.Hash{Algorithm: "sha256", Hex: sum(string(stored))}
			err = u.layer(bytes.NewReader(stored), v1.Descriptor{MediaType: types.OCILayerZStd, Digest: digest})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if info, err := os.Stat(filepath.Join(dir, "bin/runc")); err == nil && info.Size() > 4 {
				t.Errorf("%d bytes of bin/runc were written", info.Size())
			}
		})
	}
}

func TestAFetchHasRoomBesideTheProgram(t *testing.T) {
	const bound = 1 << 40 // of this test's process: no garbage is collected for it
	before := debug.SetMemoryLimit(bound)
	defer debug.SetMemoryLimit(before)
	h := newHost(t)
	var within int64
	s := h.store(t)
	s.Roots = func() *x509.CertPool {
		within = debug.SetMemoryLimit(-1)
		return h.roots()
	}
	img := imageOf(t, []File{listed("bin/runc", "runc")}, layerOf(t, entry{name: "bin/runc", content: "runc"}))
	_, err := s.Ensure(t.Context(), h.push(t, img))
	must(t, err)
	if within != bound+fetchMemory {
		t.Errorf("while it was fetched the bound was %d, want %d", within, int64(bound+fetchMemory))
	}
	if after := debug.SetMemoryLimit(-1); after != bound {
		t.Errorf("afterwards the bound is %d, want %d", after, int64(bound))
	}
}

func TestACertificateThatIsNotValidYetIsBlamedOnTheClock(t *testing.T) {
	issued := time.Now().Add(time.Hour)
	err := unreachable(t.Context(), "r", &url.Error{Op: "Get", URL: "https://r", Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{
		Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: issued, NotAfter: issued.Add(time.Hour)},
	}}})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "the clock is behind") || strings.Contains(err.Error(), "server CA") {
		t.Errorf("got %v, want a sentence about the clock", err)
	}
}
