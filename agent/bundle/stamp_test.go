package bundle

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAStampThatCannotBeWrittenLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "stamp.json")
	if err := os.MkdirAll(filepath.Join(taken, "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (&Store{}).writeStamp(taken, nil); err == nil {
		t.Error("a stamp took the place of a directory")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left (%v), want the directory alone", left, err)
	}
}
