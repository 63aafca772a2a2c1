package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestALayoutThatCannotBeOpenedIsLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "oci-layout", "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLayout(dir); err == nil {
		t.Error("a file took the place of a directory")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*oci-layout*")); err != nil || len(left) != 1 {
		t.Errorf("%v are left (%v), want the directory alone", left, err)
	}
}

func TestImagesThatAreTaggedAtTheSameTimeAreAllKnown(t *testing.T) {
	dir := t.TempDir()
	const images = 32
	var tagging sync.WaitGroup
	for i := range images {
		tagging.Go(func() {
			layout, err := OpenLayout(dir)
			if err == nil {
				err = layout.tag(fmt.Sprint(i), v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i)}})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	tagging.Wait()
	index, err := Layout{dir: dir}.index()
	if err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != images {
		t.Errorf("%d images are known of %d that were tagged", len(index.Manifests), images)
	}
}
