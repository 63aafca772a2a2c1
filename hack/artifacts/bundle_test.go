package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	agentbundle "github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/controllers/artifact"
)

// endpoint serves a directory as the manager does and returns its address and certificate.
func endpoint(t *testing.T, root string) (string, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(artifact.Handler(root))
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return strings.TrimPrefix(server.URL, "https://"), pool
}

func TestAnAgentReachesANodeWhole(t *testing.T) {
	root := t.TempDir()
	o := buildOptions{architecture: "amd64", bin: filepath.Dir(write(t, filepath.Join(t.TempDir(), "drover-agent"), "an agent"))}
	digest, err := o.images("")[agentRepository].write(filepath.Join(root, agentRepository), developmentTag)
	must(t, err)
	address, roots := endpoint(t, root)
	store := &agentbundle.Store{Root: t.TempDir(), Roots: func() *x509.CertPool { return roots }, Log: testr.New(t)}
	unpacked, err := store.Ensure(t.Context(), address+"/"+agentRepository+"@"+digest.String())
	must(t, err)
	if content, err := os.ReadFile(filepath.Join(unpacked.Dir, "drover-agent")); err != nil || string(content) != "an agent" {
		t.Errorf("got %q, %v", content, err)
	}
}

func TestBundleReachesANodeWhole(t *testing.T) {
	tests := map[string]struct {
		reason string
		linked bool
		bin    []string
	}{
		"OneProgram":  {"a multi-call binary is stored once", true, []string{"containerd", "containerd-shim-runc-v2", "kube-node", "kube-proxy", "kubelet", "runc"}},
		"TwoPrograms": {"upstream's releases are two files", false, []string{"containerd", "containerd-shim-runc-v2", "kube-proxy", "kubelet", "runc"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b, root := testBundle(t, tc.linked), t.TempDir()
			digest, err := b.write(filepath.Join(root, bundleRepository))
			must(t, err)
			address, roots := endpoint(t, root)
			store := &agentbundle.Store{Root: t.TempDir(), Roots: func() *x509.CertPool { return roots }, Log: testr.New(t)}

			unpacked, err := store.Ensure(t.Context(), address+"/"+bundleRepository+"@"+digest.String())
			must(t, err)
			if diff := cmp.Diff(b.versions, unpacked.Versions); diff != "" {
				t.Errorf("%s: versions (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.bin, list(t, filepath.Join(unpacked.Dir, "bin"))); diff != "" {
				t.Errorf("%s: programs (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff([]string{"bridge", "host-local", "loopback", "portmap"}, list(t, unpacked.CNIDir())); diff != "" {
				t.Errorf("%s: CNI plugins (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff([]string{"pause.tar"}, list(t, unpacked.ImagesDir())); diff != "" {
				t.Errorf("%s: images (-want +got):\n%s", tc.reason, diff)
			}
			if got := sameFile(unpacked.Bin("kubelet"), unpacked.Bin("kube-proxy")); got != tc.linked {
				t.Errorf("%s: kubelet and kube-proxy are one file: %t", tc.reason, got)
			}
			var versions map[string]string
			content, err := os.ReadFile(filepath.Join(unpacked.Dir, "versions.json"))
			must(t, errors.Join(err, json.Unmarshal(content, &versions)))
			if diff := cmp.Diff(b.versions, versions); diff != "" {
				t.Errorf("%s: versions.json (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAFlippedByteOnTheEndpointIsSeen(t *testing.T) {
	root := t.TempDir()
	digest, err := testBundle(t, true).write(filepath.Join(root, bundleRepository))
	must(t, err)
	blobs := filepath.Join(root, bundleRepository, "blobs/sha256")
	largest := slices.MaxFunc(list(t, blobs), func(a, b string) int {
		return int(stat(t, filepath.Join(blobs, a)).Size() - stat(t, filepath.Join(blobs, b)).Size())
	})
	content, err := os.ReadFile(filepath.Join(blobs, largest))
	must(t, err)
	content[len(content)/2] ^= 1
	must(t, os.WriteFile(filepath.Join(blobs, largest), content, 0o600))
	address, roots := endpoint(t, root)

	_, err = (&agentbundle.Store{Root: t.TempDir(), Roots: func() *x509.CertPool { return roots }, Log: testr.New(t)}).
		Ensure(context.Background(), address+"/"+bundleRepository+"@"+digest.String())
	if !errors.Is(err, agentbundle.ErrDigestMismatch) {
		t.Errorf("got %v, want a digest mismatch", err)
	}
}

func TestBundlesAreReproducible(t *testing.T) {
	b := testBundle(t, true)
	first, err := b.write(t.TempDir())
	must(t, err)
	must(t, os.Chtimes(b.programs["bin/runc"], stat(t, b.pause).ModTime().Add(-1e12), stat(t, b.pause).ModTime().Add(-1e12)))
	second, err := b.write(t.TempDir())
	must(t, err)
	if first != second {
		t.Errorf("the same programs gave %s and %s", first, second)
	}
	write(t, b.programs["bin/runc"], "another runc")
	third, err := b.write(t.TempDir())
	must(t, err)
	if third == first {
		t.Error("another program gave the same digest")
	}
}

func TestBundleIsAValidImageWithOneTag(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // building again moves the tag, and adds no other
		digest, err := testBundle(t, false).write(dir)
		must(t, err)
		img, err := imageOf(dir, digest)
		must(t, err)
		if err := validate.Image(img, validate.Fast); err != nil {
			t.Error(err)
		}
	}
	path, err := layout.FromPath(dir)
	must(t, err)
	index, err := path.ImageIndex()
	must(t, err)
	manifest, err := index.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 1 {
		t.Errorf("the index lists %d images, want 1", len(manifest.Manifests))
	}
}

func imageOf(dir string, digest v1.Hash) (v1.Image, error) {
	path, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	return path.Image(digest)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info
}
