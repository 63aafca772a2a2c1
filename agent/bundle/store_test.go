package bundle

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnsureFetchesAWholeBundleOnce(t *testing.T) {
	h := newHost(t)
	reference, store := h.push(t, smallBundle(t)), h.store(t)
	var requests atomic.Int32
	h.faults = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			next.ServeHTTP(w, r)
		})
	}

	if store.Has(reference) || requests.Load() > 0 {
		t.Error("Has found what was never fetched, or asked the registry")
	}
	first, err := store.Ensure(t.Context(), reference)
	must(t, err)
	if !store.Has(reference) {
		t.Error("Has does not find what was fetched")
	}
	fetched := requests.Load()
	again, err := store.Ensure(t.Context(), reference)
	must(t, err)

	if diff := cmp.Diff(first, again, cmp.AllowUnexported(Bundle{})); diff != "" {
		t.Errorf("the second Ensure differs (-first +second):\n%s", diff)
	}
	if requests.Load() != fetched {
		t.Errorf("the second Ensure made %d requests, want none", requests.Load()-fetched)
	}
	hex := reference[strings.LastIndex(reference, ":")+1:]
	want := []string{hex, hex + "/.oci", hex + "/.oci/config.json", hex + "/.oci/manifest.json",
		hex + "/bin", hex + "/bin/kube-proxy", hex + "/bin/kubelet", hex + "/bin/runc"}
	if diff := cmp.Diff(want, names(t, store.Root)); diff != "" {
		t.Errorf("on disk (-want +got):\n%s", diff)
	}
	if first.Versions["kubelet"] != "v1.36.3" {
		t.Errorf("versions are %v", first.Versions)
	}
	kubelet, proxy := stat(t, first.Bin("kubelet")), stat(t, first.Bin("kube-proxy"))
	if !os.SameFile(kubelet, proxy) || kubelet.Mode() != 0o755 {
		t.Errorf("kubelet (%v) and kube-proxy (%v) are not one executable file", kubelet.Mode(), proxy.Mode())
	}
}

func TestEnsureUsesASharedBundleInPlace(t *testing.T) {
	h := newHost(t)
	reference, host := h.push(t, smallBundle(t)), h.store(t)
	shared, err := host.Ensure(t.Context(), reference)
	must(t, err)
	h.Close()

	store := &Store{Root: t.TempDir(), Shared: []string{"/nowhere", host.Root}, Log: host.Log}
	bundle, err := store.Ensure(t.Context(), reference)
	must(t, err)
	if bundle.Dir != shared.Dir {
		t.Errorf("the bundle is used from %s, want %s", bundle.Dir, shared.Dir)
	}
	if got := names(t, store.Root); len(got) != 0 {
		t.Errorf("the store holds %v, want nothing", got)
	}
}

func TestEnsureFetchesAnewWhatWasTouchedOnDisk(t *testing.T) {
	tests := map[string]struct {
		reason string
		touch  func(dir string) error
	}{
		"FlippedByte": {"content of the same size must be hashed again, as the inode changed", func(dir string) error {
			return flip(filepath.Join(dir, "bin/runc"))
		}},
		"FlippedByteWithOldTimes": {"times that were set back do not hide a change", func(dir string) error {
			path := filepath.Join(dir, "bin/runc")
			info, err := os.Stat(path)
			return errors.Join(err, flip(path), os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
		"MissingFile":    {"a bundle is whole", func(dir string) error { return os.Remove(filepath.Join(dir, "bin/kube-proxy")) }},
		"AdditionalFile": {"a CNI plugin or image nobody listed must not be picked up", func(dir string) error { return os.WriteFile(filepath.Join(dir, "bin/evil"), nil, 0o755) }},
		"Symlink": {"a link may lead anywhere", func(dir string) error {
			path := filepath.Join(dir, "bin/runc")
			return errors.Join(os.Remove(path), os.Symlink("/bin/sh", path))
		}},
		"Mode":            {"a program that cannot be executed is broken", func(dir string) error { return os.Chmod(filepath.Join(dir, "bin/runc"), 0o600) }},
		"ChangedManifest": {"the proof starts at the directory's name", func(dir string) error { return flip(filepath.Join(dir, manifestFile)) }},
		"ChangedConfig":   {"the file list is in the config", func(dir string) error { return flip(filepath.Join(dir, configFile)) }},
	}
	h := newHost(t)
	reference := h.push(t, smallBundle(t))
	for name, tc := range tests {
		t.Run("Own"+name, func(t *testing.T) {
			store := h.store(t)
			bundle, err := store.Ensure(t.Context(), reference)
			must(t, err)
			must(t, tc.touch(bundle.Dir))

			bundle, err = store.Ensure(t.Context(), reference)
			must(t, err)
			if got, _ := os.ReadFile(bundle.Bin("runc")); string(got) != noise(300_000) {
				t.Errorf("%s: runc is not the bundle's own", tc.reason)
			}
			if got := names(t, store.Root); len(got) != 8 {
				t.Errorf("%s: left on disk: %v", tc.reason, got)
			}
		})
		t.Run("Shared"+name, func(t *testing.T) {
			host, store := h.store(t), h.store(t)
			shared, err := host.Ensure(t.Context(), reference)
			must(t, err)
			store.Shared = []string{host.Root}
			_, err = store.Ensure(t.Context(), reference)
			must(t, err)
			must(t, tc.touch(shared.Dir))

			bundle, err := store.Ensure(t.Context(), reference)
			must(t, err)
			if filepath.Dir(bundle.Dir) != store.Root {
				t.Errorf("%s: the broken shared bundle is used: %s", tc.reason, bundle.Dir)
			}
		})
	}
}

func TestEnsureSweepsWhatAKilledFetchLeft(t *testing.T) {
	h := newHost(t)
	reference, store := h.push(t, smallBundle(t)), h.store(t)
	must(t, os.MkdirAll(filepath.Join(store.Root, ".tmp-123/bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(store.Root, ".tmp-123/bin/kubelet"), []byte("half"), 0o755))

	_, err := store.Ensure(t.Context(), reference)
	must(t, err)
	for _, path := range names(t, store.Root) {
		if strings.HasPrefix(path, temporaryPrefix) {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestEnsureLeavesNothingBehindWhenCancelled(t *testing.T) {
	h := newHost(t)
	reference, store := h.push(t, smallBundle(t)), h.store(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.faults = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if blobOf(r) && r.Header.Get("User-Agent") != "" && strings.Contains(r.URL.Path, largestLayer(t)) {
				cancel()
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	if _, err := store.Ensure(ctx, reference); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got := names(t, store.Root); len(got) != 0 {
		t.Errorf("left on disk: %v", got)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return info
}

// flip changes one byte in the middle of a file, in place.
func flip(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	content[len(content)/2] ^= 1
	return os.WriteFile(path, content, 0)
}

// A program that somebody changed under the same name and size is found by its digest, and the whole bundle comes again.
func TestAFlippedByteIsFoundAndMended(t *testing.T) {
	h := newHost(t)
	reference, store := h.push(t, smallBundle(t)), h.store(t)
	b, err := store.Ensure(t.Context(), reference)
	must(t, err)
	must(t, store.Verify(b))
	content, err := os.ReadFile(b.Bin("runc"))
	must(t, err)
	content[len(content)/2] ^= 1
	must(t, os.WriteFile(b.Bin("runc"), content, 0o755))
	if err := store.Verify(b); !errors.Is(err, ErrDigestMismatch) || !strings.Contains(err.Error(), "bin/runc") {
		t.Errorf("got %v, want the name of the file that was changed", err)
	}
	if is, err := b.Holds("bin/runc", b.Bin("runc")); is || err != nil {
		t.Errorf("it counts as the bundle's: %t, %v", is, err)
	}
	again, err := store.Ensure(t.Context(), reference)
	must(t, err)
	must(t, store.Verify(again))
	if is, err := again.Holds("bin/runc", again.Bin("runc")); again.Dir != b.Dir || !is || err != nil {
		t.Errorf("it is not mended in its place: %+v, %v", again, err)
	}
}
