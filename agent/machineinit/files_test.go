package machineinit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/drover-dev/drover/api/node"
)

func TestAFileThatCannotBeMadeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "drover-agent")
	if err := os.MkdirAll(filepath.Join(taken, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFiles([]node.LocalBootFile{{Path: taken, Content: "program", Mode: 0o755}}, nil); err == nil {
		t.Error("a file took the place of a directory")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left (%v), want the directory alone", left, err)
	}
}
