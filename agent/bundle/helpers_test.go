package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// entry is one tar entry of a test's layer.
type entry struct {
	name, content, link string
	kind                byte // 0 is a regular file
	mode                int64
}

func tarOf(t *testing.T, entries []entry) []byte {
	t.Helper()
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.content))}
		if e.kind == 0 {
			header.Typeflag = tar.TypeReg
		}
		if e.mode == 0 {
			header.Mode = 0o755
		}
		must(t, archive.WriteHeader(header))
		_, err := archive.Write([]byte(e.content))
		must(t, err)
	}
	must(t, archive.Close())
	return buffer.Bytes()
}

// zstdLayer is a layer whose diffID is known, as static.NewLayer cannot uncompress.
type zstdLayer struct {
	v1.Layer
	diffID v1.Hash
}

func (l zstdLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

func layerOf(t *testing.T, entries ...entry) zstdLayer {
	t.Helper()
	content := tarOf(t, entries)
	encoder, err := zstd.NewWriter(nil)
	must(t, err)
	return zstdLayer{
		Layer:  static.NewLayer(encoder.EncodeAll(content, nil), types.OCILayerZStd),
		diffID: v1.Hash{Algorithm: "sha256", Hex: sum(string(content))},
	}
}

func sum(content string) string {
	digest := sha256.Sum256([]byte(content))
	return hex.EncodeToString(digest[:])
}

func listed(path, content string) File {
	return File{Path: path, Mode: 0o755, Size: int64(len(content)), SHA256: sum(content)}
}

// imageOf lists files and holds layers, which need not agree.
func imageOf(t *testing.T, files []File, layers ...v1.Layer) v1.Image {
	t.Helper()
	list, err := json.Marshal(files)
	must(t, err)
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.AppendLayers(img, layers...)
	must(t, err)
	config, err := img.ConfigFile()
	must(t, err)
	config = config.DeepCopy()
	config.Config.Labels = map[string]string{FilesLabel: string(list)}
	img, err = mutate.ConfigFile(img, config)
	must(t, err)
	annotated, ok := mutate.Annotations(img, map[string]string{VersionAnnotation + "kubelet": "v1.36.3"}).(v1.Image)
	if !ok {
		t.Fatal("an annotated image is no image")
	}
	return annotated
}

// smallBundle is a whole bundle of two layers; kubelet and kube-proxy are one file.
func smallBundle(t *testing.T) v1.Image {
	t.Helper()
	node, runc := strings.Repeat("node", 50_000), noise(300_000)
	return imageOf(t,
		[]File{listed("bin/runc", runc), listed("bin/kubelet", node), listed("bin/kube-proxy", node)},
		layerOf(t, entry{name: "bin/", kind: tar.TypeDir}, entry{name: "bin/runc", content: runc}),
		layerOf(t, entry{name: "bin/kubelet", content: node}, entry{name: "bin/kube-proxy", kind: tar.TypeLink, link: "bin/kubelet"}))
}

// noise is content that does not compress, the same in every run.
func noise(size int) string {
	var out strings.Builder
	for seed := "noise"; out.Len() < size; {
		seed = sum(seed)
		raw, _ := hex.DecodeString(seed)
		out.Write(raw)
	}
	return out.String()[:size]
}

// host is a registry over TLS, with faults in front of it.
type host struct {
	*httptest.Server
	faults func(next http.Handler) http.Handler
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{}
	inner := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := inner
		if h.faults != nil {
			next = h.faults(inner)
		}
		next.ServeHTTP(w, r)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(h.Close)
	return h
}

func (h *host) repository() string {
	return strings.TrimPrefix(h.URL, "https://") + "/bundles/kubernetes"
}

// push stores an image and returns its reference by digest.
func (h *host) push(t *testing.T, img v1.Image) string {
	t.Helper()
	digest, err := img.Digest()
	must(t, err)
	reference := h.repository() + "@" + digest.String()
	parsed, err := name.NewDigest(reference)
	must(t, err)
	must(t, remote.Write(parsed, img, remote.WithTransport(h.Client().Transport)))
	return reference
}

func (h *host) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	return pool
}

func (h *host) store(t *testing.T) *Store {
	t.Helper()
	return &Store{Root: t.TempDir(), Roots: h.roots, Log: testr.New(t),
		wait: func(ctx context.Context, _ int) error { return ctx.Err() }}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names are all paths below a directory, except for the store's lock and stamps.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != "." && path != ".lock" && !strings.HasPrefix(path, stampDir) {
			found = append(found, path)
		}
		return err
	}))
	return found
}
