package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

func TestAnAgentWithoutABootstrapDocumentLeavesABootReport(t *testing.T) {
	dir := t.TempDir()
	if _, err := New(Options{BootstrapPath: filepath.Join(dir, "none.json"), StateDir: dir, RunDir: dir, Log: logr.Discard()}); err == nil {
		t.Fatal("it began without a document")
	}
	if data, err := os.ReadFile(filepath.Join(dir, "boot.json")); err != nil || !strings.Contains(string(data), "none.json") {
		t.Errorf("the boot report is %q, %v, want what is missing", data, err)
	}
}
