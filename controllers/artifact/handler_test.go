package artifact_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/drover-dev/drover/controllers/artifact"
)

// push puts an image into the layout of a repository below root.
func push(t *testing.T, root, repository, tag string) v1.Image {
	t.Helper()
	img, err := random.Image(4096, 3)
	must(t, err)
	img = mutate.MediaType(img, types.OCIManifestSchema1)
	dir := filepath.Join(root, repository)
	path, err := layout.FromPath(dir)
	if err != nil {
		must(t, os.MkdirAll(dir, 0o755))
		path, err = layout.Write(dir, empty.Index)
		must(t, err)
	}
	must(t, path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})))
	return img
}

func serve(t *testing.T, root string) (registry string) {
	t.Helper()
	server := httptest.NewServer(artifact.Handler(root))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestPullByTagAndDigest(t *testing.T) {
	root := t.TempDir()
	registry := serve(t, root)
	img := push(t, root, "bundles/kubernetes", "v1.36.3") // after the start: what is added is served at once
	digest, err := img.Digest()
	must(t, err)

	for _, reference := range []string{":v1.36.3", "@" + digest.String()} {
		parsed, err := name.ParseReference(registry + "/bundles/kubernetes" + reference)
		must(t, err)
		pulled, err := remote.Image(parsed)
		if err != nil {
			t.Fatalf("pull %s: %v", reference, err)
		}
		if err := validate.Image(pulled); err != nil {
			t.Errorf("pull %s: %v", reference, err)
		}
		if got, _ := pulled.Digest(); got != digest {
			t.Errorf("pull %s: got %s, want %s", reference, got, digest)
		}
		if _, err := remote.Head(parsed); err != nil {
			t.Errorf("head %s: %v", reference, err)
		}
	}
	push(t, root, "bundles/kubernetes", "v1.36.4")
	repository, err := name.NewRepository(registry + "/bundles/kubernetes")
	must(t, err)
	tags, err := remote.List(repository)
	must(t, err)
	if diff := cmp.Diff([]string{"v1.36.3", "v1.36.4"}, tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestRequests(t *testing.T) {
	root := t.TempDir()
	img := push(t, root, "images/hello", "dev")
	layers, err := img.Layers()
	must(t, err)
	layer, err := layers[0].Digest()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "secret"), []byte("secret"), 0o600))
	must(t, os.MkdirAll(filepath.Join(root, "images/empty"), 0o755))
	must(t, os.MkdirAll(filepath.Join(root, "images/evil/blobs/sha256"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "images/evil/index.json"), []byte("{}"), 0o600))
	zeros := strings.Repeat("0", 64)
	must(t, os.Symlink("../../../../secret", filepath.Join(root, "images/evil/blobs/sha256", zeros)))

	blob := "/v2/images/hello/blobs/" + layer.String()
	tests := map[string]struct {
		reason       string
		method, path string
		header       [2]string
		status       int
		wantHeader   [2]string
		contains     string
	}{
		"Version":         {reason: "clients look here first", path: "/v2/", status: 200, wantHeader: [2]string{"Docker-Distribution-API-Version", "registry/2.0"}},
		"ManifestType":    {reason: "containerd decides by it", path: "/v2/images/hello/manifests/dev?ns=10.88.0.1%3A5443", header: [2]string{"Accept", string(types.OCIManifestSchema1) + ", */*"}, status: 200, wantHeader: [2]string{"Content-Type", string(types.OCIManifestSchema1)}},
		"ManifestHead":    {reason: "containerd resolves tags so", method: "HEAD", path: "/v2/images/hello/manifests/dev", status: 200, wantHeader: [2]string{"Content-Type", string(types.OCIManifestSchema1)}},
		"BlobDigest":      {reason: "clients compare it", method: "HEAD", path: blob, status: 200, wantHeader: [2]string{"Docker-Content-Digest", layer.String()}},
		"BlobRange":       {reason: "broken downloads resume", path: blob, header: [2]string{"Range", "bytes=100-"}, status: 206},
		"BlobPastEnd":     {reason: "a resume of what is complete", path: blob, header: [2]string{"Range", "bytes=999999999-"}, status: 416},
		"UnknownTag":      {reason: "an error body as the specification has it", path: "/v2/images/hello/manifests/none", status: 404, contains: `"MANIFEST_UNKNOWN"`},
		"UnknownDigest":   {reason: "not here", path: "/v2/images/hello/manifests/sha256:" + zeros, status: 404, contains: `"MANIFEST_UNKNOWN"`},
		"UnknownBlob":     {reason: "not here", path: "/v2/images/hello/blobs/sha256:" + zeros, status: 404, contains: `"BLOB_UNKNOWN"`},
		"UnknownName":     {reason: "not here", path: "/v2/images/none/manifests/dev", status: 404, contains: `"NAME_UNKNOWN"`},
		"EmptyDirectory":  {reason: "a directory is no repository", path: "/v2/images/empty/tags/list", status: 404, contains: `"NAME_UNKNOWN"`},
		"Parent":          {reason: "no directory but repositories is served", path: "/v2/images/manifests/dev", status: 404},
		"LayerAsManifest": {reason: "a blob is no manifest", path: "/v2/images/hello/manifests/" + layer.String(), status: 404, contains: `"MANIFEST_UNKNOWN"`},
		"BadDigest":       {reason: "refused before the disk is touched", path: "/v2/images/hello/blobs/sha256:..%2f..%2f..%2fsecret", status: 404},
		"OtherAlgorithm":  {reason: "refused before the disk is touched", path: "/v2/images/hello/blobs/md5:00", status: 400, contains: `"DIGEST_INVALID"`},
		"Traversal":       {reason: "nothing outside of the root", path: "/v2/..%2f..%2fetc/blobs/" + layer.String(), status: 400, contains: `"NAME_INVALID"`},
		"SymlinkOutside":  {reason: "nothing outside of the repository", path: "/v2/images/evil/blobs/sha256:" + zeros, status: 404},
		"Uploads":         {reason: "read-only", method: "POST", path: "/v2/images/hello/blobs/uploads/", status: 405, wantHeader: [2]string{"Allow", "GET, HEAD"}},
		"Put":             {reason: "read-only", method: "PUT", path: "/v2/images/hello/manifests/dev", status: 405, contains: `"UNSUPPORTED"`},
		"Delete":          {reason: "read-only", method: "DELETE", path: blob, status: 405},
		"OtherPath":       {reason: "no other endpoint", path: "/v2/_catalog", status: 404},
		"Root":            {reason: "no other endpoint", path: "/", status: 404},
	}
	registry := serve(t, root)
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+registry+tc.path, nil)
			must(t, err)
			if tc.header[0] != "" {
				request.Header.Set(tc.header[0], tc.header[1])
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			must(t, err)
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			must(t, err)
			if response.StatusCode != tc.status {
				t.Errorf("%s: got %s, want %d: %s", tc.reason, response.Status, tc.status, body)
			}
			if got := response.Header.Get(tc.wantHeader[0]); tc.wantHeader[0] != "" && got != tc.wantHeader[1] {
				t.Errorf("%s: header %s is %q, want %q", tc.reason, tc.wantHeader[0], got, tc.wantHeader[1])
			}
			if !strings.Contains(string(body), tc.contains) || strings.Contains(string(body), "secret") {
				t.Errorf("%s: got body %s, want %s in it", tc.reason, body, tc.contains)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLargeBlobIsNoManifest asks for one as a manifest, which anybody may: it must cost no memory.
func TestLargeBlobIsNoManifest(t *testing.T) {
	root := t.TempDir()
	registry := serve(t, root)
	push(t, root, "large", "x")
	digest := strings.Repeat("ab", 32)
	must(t, os.WriteFile(filepath.Join(root, "large/blobs/sha256", digest), nil, 0o644))
	must(t, os.Truncate(filepath.Join(root, "large/blobs/sha256", digest), 1<<30))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		response, err := http.Get("http://" + registry + "/v2/large/manifests/sha256:" + digest)
		must(t, err)
		must(t, response.Body.Close())
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("got %s, want not found", response.Status)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("ten requests took %d bytes of memory", used)
	}
}
