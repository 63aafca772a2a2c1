package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/atomicfile"
	"github.com/drover-dev/drover/api/node"
)

// bootReporter tells the infrastructure provider what there is to tell while there is no identity to report with.
type bootReporter struct {
	path string
	log  logr.Logger

	mu   sync.Mutex
	over bool
}

func newBootReporter(runDir string, log logr.Logger) *bootReporter {
	return &bootReporter{path: filepath.Join(runDir, filepath.Base(node.BootReportPath)), log: log}
}

// say writes the step that is under way, or why it failed. A failure to write must not stop a node from joining.
func (b *bootReporter) say(phase, reason, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	data, err := json.Marshal(node.BootReport{Phase: phase, Reason: reason, Message: message, Time: metav1.Now()})
	if err == nil {
		err = atomicfile.Write(b.path, data, 0o644)
	}
	if err != nil {
		b.log.Error(err, "Failed to write the boot report", "path", b.path)
	}
}

// end removes the report: from now on NodeAgent.status says it.
func (b *bootReporter) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if err := os.Remove(b.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.log.Error(err, "Failed to remove the boot report", "path", b.path)
	}
}
