package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/atomicfile"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// phaseInstall is the boot report's name of all that brings the machine to its desired state.
const phaseInstall = "Install"

// bootReporter tells the infrastructure provider what there is to tell while there is no identity to report with. Several
// parts of the agent are at work meanwhile: what the report shows is the gravest thing that any of them met.
type bootReporter struct {
	path string
	log  logr.Logger

	mu   sync.Mutex
	over bool
	last []word // one for each phase, the latest last
}

// word is what one phase said last.
type word struct{ phase, reason, message string }

// causesFirst are reasons in the order in which they explain each other: a machine with a wrong clock trusts no
// certificate, so that neither its bundle nor its identity can be had.
var causesFirst = []string{
	v1alpha1.ReasonPreflightFailed, v1alpha1.ReasonCertificateDenied, v1alpha1.ReasonBundleFetchFailed, v1alpha1.ReasonJoinFailed,
}

// rank is small for what is grave; a reason that is not listed is graver than those that are, and none the least.
func (w word) rank() int {
	if w.reason == "" {
		return len(causesFirst)
	}
	return slices.Index(causesFirst, w.reason)
}

func newBootReporter(runDir string, log logr.Logger) *bootReporter {
	return &bootReporter{path: filepath.Join(runDir, filepath.Base(node.BootReportPath)), log: log}
}

// say takes down the step that is under way in a phase, or why it failed, instead of what that phase said before.
func (b *bootReporter) say(phase, reason, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.forget(phase)
	b.last = append(b.last, word{phase, reason, message})
	b.write(gravest(b.last))
}

// overcome takes back what a phase said.
func (b *bootReporter) overcome(phase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.last)
	b.forget(phase)
	switch {
	case b.over || len(b.last) == before:
	case len(b.last) == 0:
		b.remove()
	default:
		b.write(gravest(b.last))
	}
}

func (b *bootReporter) forget(phase string) {
	b.last = slices.DeleteFunc(b.last, func(w word) bool { return w.phase == phase })
}

// gravest is a report of the gravest of some words, the later of two equal ones, and what else failed beside it.
func gravest(words []word) node.BootReport {
	words = slices.Clone(words)
	slices.Reverse(words)
	slices.SortStableFunc(words, func(a, b word) int { return cmp.Compare(a.rank(), b.rank()) })
	r := node.BootReport{Phase: words[0].phase, Reason: words[0].reason, Message: words[0].message, Time: metav1.Now()}
	for _, w := range words[1:] {
		if w.reason != "" {
			r.Message += fmt.Sprintf("; %s too: %s", w.reason, w.message)
		}
	}
	return r
}

// write leaves a report. A failure to write must not stop a node from joining.
func (b *bootReporter) write(r node.BootReport) {
	data, err := json.Marshal(r)
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
	b.remove()
}

// resume lets the report be written again, because there is no NodeAgent any more whose status could say anything.
func (b *bootReporter) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over, b.last = false, nil
}

func (b *bootReporter) remove() {
	if err := os.Remove(b.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.log.Error(err, "Failed to remove the boot report", "path", b.path)
	}
}
