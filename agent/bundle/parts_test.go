package bundle

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// programsOf is a bundle with these contents.
func programsOf(t *testing.T, contents map[string]string) v1.Image {
	t.Helper()
	var files []File
	var entries []entry
	for path, content := range contents {
		files = append(files, listed(path, content))
		entries = append(entries, entry{name: path, content: content})
	}
	return imageOf(t, files, layerOf(t, entries...))
}

// twoBundles differ in their kubelet.
func twoBundles(t *testing.T) (store *Store, first, second *Bundle) {
	t.Helper()
	registry := newHost(t)
	store = registry.store(t)
	ensure := func(kubelet string) *Bundle {
		b, err := store.Ensure(t.Context(), registry.push(t, programsOf(t, map[string]string{
			"bin/kubelet": kubelet, "bin/kube-proxy": "proxy", "bin/containerd": "containerd", "bin/containerd-shim-runc-v2": "shim", "bin/runc": "runc",
			"cni/bridge": "bridge",
		})))
		must(t, err)
		return b
	}
	return store, ensure("first kubelet"), ensure("second kubelet")
}

func TestProgramsWithTheSameContentHaveTheSamePathInEveryBundle(t *testing.T) {
	store, a, b := twoBundles(t)
	first := store.ByContent(a)
	must(t, os.WriteFile(a.Bin("runc"), []byte("flip"), 0o755)) // after it was verified
	second := store.ByContent(b)
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "runc", "kube-proxy"} {
		if first.Bin(name) != second.Bin(name) {
			t.Errorf("%s is at %s and at %s, though it is the same", name, first.Bin(name), second.Bin(name))
		}
	}
	if first.CNIDir() != second.CNIDir() {
		t.Errorf("the plugins are in %s and in %s, though they are the same", first.CNIDir(), second.CNIDir())
	}
	if first.Bin("kubelet") == second.Bin("kubelet") {
		t.Errorf("both kubelets are at %s, though they differ", first.Bin("kubelet"))
	}
	for path, want := range map[string]string{
		first.Bin("kubelet"): "first kubelet", second.Bin("kubelet"): "second kubelet", second.Bin("runc"): "runc", filepath.Join(second.CNIDir(), "bridge"): "bridge",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q: it leads to the bundle that was verified last", path, got, err, want)
		}
	}
}

func TestAPartThatCannotBeLinkedStaysInItsBundle(t *testing.T) {
	store, a, _ := twoBundles(t)
	must(t, os.WriteFile(filepath.Join(store.Root, partsDir), nil, 0o644))
	if got, want := store.ByContent(a).Bin("containerd"), filepath.Join(a.Dir, "bin/containerd"); got != want {
		t.Errorf("containerd is at %s, want %s", got, want)
	}
}

func TestCollectKeepsAPartThatAProcessWasStartedWith(t *testing.T) {
	store, a, b := twoBundles(t)
	old := store.ByContent(a)
	end := start(t, exec.Command("/bin/cat", "-", old.Bin("kubelet")))
	now := store.ByContent(b)

	must(t, store.Collect(t.Context(), b.Digest))
	if got, err := os.ReadFile(old.Bin("kubelet")); err != nil || string(got) != "first kubelet" {
		t.Errorf("the kubelet that a process was started with holds %q (%v)", got, err)
	}
	end()
	must(t, store.Collect(t.Context(), b.Digest))
	for path, want := range map[string]bool{old.Parts["kubelet"]: false, a.Dir: false, b.Dir: true, now.Parts["kubelet"]: true, now.Parts["containerd"]: true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
}

func TestCollectLeadsPartsToABundleThatStays(t *testing.T) {
	store, a, b := twoBundles(t)
	runs := store.ByContent(a)
	store.ByContent(b) // which was made ready, and then not wanted any more
	must(t, store.Collect(t.Context(), a.Digest))
	if got, err := os.ReadFile(runs.Bin("containerd")); err != nil || string(got) != "containerd" {
		t.Errorf("containerd holds %q (%v), want it still there", got, err)
	}
	if _, err := os.Stat(b.Dir); err == nil {
		t.Error("the bundle that nobody wants is still there")
	}
}

func TestAPartsPathThatLeadsElsewhereIsNoWholeBundle(t *testing.T) {
	store, a, b := twoBundles(t)
	first := store.ByContent(a)
	kubelet, runtime := first.Parts["kubelet"], first.Parts["containerd"]
	if err := store.Verify(first); err != nil {
		t.Errorf("as it was made: %v", err)
	}
	store.ByContent(b)
	if err := store.Verify(first); err != nil {
		t.Errorf("another bundle that has the same containerd: %v", err)
	}
	for name, change := range map[string]func() error{
		"the path is gone":                        func() error { return os.Remove(runtime) },
		"it leads to something that is no bundle": func() error { return store.point(runtime, t.TempDir()) },
		"it leads to a bundle that has another":   func() error { return store.point(kubelet, b.Dir) },
		"it leads to a bundle that somebody has edited": func() error {
			return errors.Join(store.point(runtime, b.Dir), os.WriteFile(b.Bin("runc"), []byte("flip"), 0o755))
		},
	} {
		store.ByContent(a)
		if err := store.Verify(first); err != nil {
			t.Fatalf("before: %v", err)
		}
		must(t, change())
		if err := store.Verify(first); !errors.Is(err, ErrDigestMismatch) {
			t.Errorf("%s, and it is said %v", name, err)
		}
		must(t, os.WriteFile(b.Bin("runc"), []byte("runc"), 0o755))
	}
}

func TestLinksAreMadeByAnInstallationAndARepairAtOnce(t *testing.T) {
	store, a, b := twoBundles(t)
	var both sync.WaitGroup
	for _, one := range []*Bundle{a, b} {
		both.Go(func() {
			for range 200 {
				if got := len(store.ByContent(one).Parts); got != 4 {
					t.Errorf("%d of four parts have a path", got)
					return
				}
			}
		})
	}
	both.Wait()
}

// TestLinksAreMadeWhileAnotherBundleIsFetched: an agent that is started makes those of what it ran while it fetches what it is to run
// next, which begins with what an earlier fetch may have left. A part without its link would be at another path, and its component
// restarted for nothing.
func TestLinksAreMadeWhileAnotherBundleIsFetched(t *testing.T) {
	store, first, second := twoBundles(t)
	stop := make(chan struct{})
	var fetches sync.WaitGroup
	fetches.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := store.sweep(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	const enough = 50
	for i := range enough {
		b := []*Bundle{first, second}[i%2]
		if got := len(store.ByContent(b).Parts); got != 4 {
			t.Errorf("after %d times, %d of 4 parts have a path by content", i, got)
			break
		}
	}
	close(stop)
	fetches.Wait()
}
