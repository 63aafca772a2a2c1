package oci

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A layer of which the layout has the blob is not written again, and one whose blob was lost or cut short is.
func TestALayerIsCompressedOnce(t *testing.T) {
	layout, err := OpenLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	add := func() Layer {
		t.Helper()
		layer, err := layout.AddLayer([]File{{Path: "bin/one", Content: []byte("abcabcabcabcabcabcabcabcabcabcabc")}}, Zstd)
		if err != nil {
			t.Fatal(err)
		}
		return layer
	}
	first := add()
	blob := layout.Blob(first.Descriptor.Digest)
	file := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(blob)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	written, old := file(), time.Now().Add(-time.Hour)
	if err := os.Chtimes(blob, old, old); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, add()); diff != "" {
		t.Errorf("the layer is another one the second time (-first +second):\n%s", diff)
	}
	if now := file(); !os.SameFile(written, now) || now.ModTime().Equal(old) {
		t.Errorf("the blob was written again, or may be pruned: it is of %s", now.ModTime())
	}
	for what, breaks := range map[string]func() error{
		"lost":      func() error { return os.Remove(blob) },
		"cut short": func() error { return os.Truncate(blob, 3) },
	} {
		if err := breaks(); err != nil {
			t.Fatal(err)
		}
		if add(); file().Size() != first.Descriptor.Size {
			t.Errorf("a blob that was %s has %d bytes, want %d", what, file().Size(), first.Descriptor.Size)
		}
	}
}
