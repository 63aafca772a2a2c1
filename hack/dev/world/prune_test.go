package world

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// Each build of the bundle would otherwise leave 159 MB.
func TestPruneBundlesKeepsTheLastBuilt(t *testing.T) {
	w := &World{Layout: layout.Layout{Repository: t.TempDir()}}
	former, last := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for _, hex := range []string{former, last} {
		if err := os.MkdirAll(filepath.Join(w.Layout.Bundles(), hex, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeDigests(t, w.Layout, last)
	if err := w.pruneBundles(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(w.Layout.Bundles(), "[ab]*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(w.Layout.Bundles(), last)}, left); diff != "" {
		t.Errorf("bundles left (-want +got):\n%s", diff)
	}
}

// writeDigests says what a build made.
func writeDigests(t *testing.T, l layout.Layout, bundle string) {
	t.Helper()
	if err := os.MkdirAll(l.Artifacts(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.Digests(), []byte(`{"bundles/kubernetes": "sha256:`+bundle+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
}
