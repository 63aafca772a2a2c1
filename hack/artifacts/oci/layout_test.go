package oci

import (
	"os"
	"path/filepath"
	"testing"
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
