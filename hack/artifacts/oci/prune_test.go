package oci

import (
	"os"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPrune(t *testing.T) {
	l, err := OpenLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	former, shared := add(t, l, "dev", "former", "shared")
	present, _ := add(t, l, "dev", "present", "shared")
	unfinished, err := l.AddLayer([]File{{Path: "file", Content: []byte("unfinished")}}, Gzip)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, digest := range []v1.Hash{former, shared, present} {
		if err := os.Chtimes(l.Blob(digest), now.Add(-2*time.Hour), now.Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Prune(now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		digest v1.Hash
		want   bool
	}{
		"the manifest that has lost its tag": {former, false},
		"the manifest that has it":           {present, true},
		"a layer of both":                    {shared, true},
		"a layer without an image yet":       {unfinished.Descriptor.Digest, true},
	} {
		if _, err := os.Stat(l.Blob(tc.digest)); (err == nil) != tc.want {
			t.Errorf("%s: is there: %t, want %t", name, err == nil, tc.want)
		}
	}
}

// add adds an image of a layer for each content, and returns its digest and the last layer's.
func add(t *testing.T, l Layout, tag string, contents ...string) (manifest, last v1.Hash) {
	t.Helper()
	var layers []Layer
	for _, content := range contents {
		layer, err := l.AddLayer([]File{{Path: "file", Content: []byte(content)}}, Gzip)
		if err != nil {
			t.Fatal(err)
		}
		layers, last = append(layers, layer), layer.Descriptor.Digest
	}
	manifest, err := l.Add(tag, Image{Architecture: "amd64", Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	return manifest, last
}
