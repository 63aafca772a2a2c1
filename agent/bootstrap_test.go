package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAnAgentThatCannotBeginLeavesABootReport(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, o Options)
		want  string
	}{
		"without a document": {func(t *testing.T, o Options) {
			if err := os.Remove(o.BootstrapPath); err != nil {
				t.Fatal(err)
			}
		}, "bootstrap.json"},
		"with a state that cannot be read": {func(t *testing.T, o Options) { block(t, generation.JournalPath(o.StateDir)) }, "read the journal of generations"},
		"with records that cannot be read": {func(t *testing.T, o Options) { block(t, filepath.Join(o.RunDir, "processes", "kubelet.json")) }, "kubelet.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()}
			c.spoil(t, o)
			if _, err := New(o); err == nil {
				t.Fatal("it began")
			}
			if got := bootReport(t, o.RunDir); got.Reason != v1alpha1.ReasonBootFailed || !strings.Contains(got.Message, c.want) {
				t.Errorf("the boot report is %+v, want what is in the way", got)
			}
		})
	}
}

// block makes a directory of what should be a file.
func block(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
