package bootreport

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

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// The phases that a report can be about.
const (
	// PhaseBootstrap reads what is on the machine.
	PhaseBootstrap = "Bootstrap"
	// PhaseIdentity asks for the agent's certificate.
	PhaseIdentity = "Identity"
	// PhaseInstall brings the machine to its desired state.
	PhaseInstall = "Install"
	// PhaseRegister has the kubelet register its Node.
	PhaseRegister = "Register"
)

// Reporter keeps the report. Its methods may be called by several parts of the agent at once.
type Reporter struct {
	path string
	log  logr.Logger

	mu   sync.Mutex
	over bool
	last []statement // one for each phase, the latest last
}

// statement is what one phase said last.
type statement struct{ phase, reason, message string }

// causesFirst are reasons in the order in which they explain each other: a machine with a wrong clock trusts no
// certificate, so that neither its bundle nor its identity can be had.
var causesFirst = []string{
	v1alpha1.ReasonPreflightFailed, v1alpha1.ReasonCertificateDenied, v1alpha1.ReasonBundleFetchFailed, v1alpha1.ReasonJoinFailed,
}

// rank is small for what is grave; a reason that is not listed is graver than those that are, and none the least.
func (s statement) rank() int {
	if s.reason == "" {
		return len(causesFirst)
	}
	return slices.Index(causesFirst, s.reason)
}

// New is the reporter of an agent that has its run directory there. It writes nothing yet.
func New(runDir string, log logr.Logger) *Reporter { return &Reporter{path: Path(runDir), log: log} }

// Path is where the report of an agent with that run directory is.
func Path(runDir string) string { return filepath.Join(runDir, filepath.Base(node.BootReportPath)) }

// Say takes down the step that is under way in a phase, or why it failed, instead of what that phase said before.
func (r *Reporter) Say(phase, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.forget(phase)
	r.last = append(r.last, statement{phase, reason, message})
	r.write(gravest(r.last))
}

// Overcome takes back what a phase said.
func (r *Reporter) Overcome(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.last)
	r.forget(phase)
	switch {
	case r.over || len(r.last) == before:
	case len(r.last) == 0:
		r.remove()
	default:
		r.write(gravest(r.last))
	}
}

func (r *Reporter) forget(phase string) {
	r.last = slices.DeleteFunc(r.last, func(s statement) bool { return s.phase == phase })
}

// gravest is a report of the gravest of some statements, the later of two equal ones, and what else failed beside it.
func gravest(said []statement) node.BootReport {
	said = slices.Clone(said)
	slices.Reverse(said)
	slices.SortStableFunc(said, func(a, b statement) int { return cmp.Compare(a.rank(), b.rank()) })
	report := node.BootReport{Phase: said[0].phase, Reason: said[0].reason, Message: said[0].message, Time: metav1.Now()}
	for _, s := range said[1:] {
		if s.reason != "" {
			report.Message += fmt.Sprintf("; %s too: %s", s.reason, s.message)
		}
	}
	return report
}

// write leaves a report. A failure to write must not stop a node from joining.
func (r *Reporter) write(report node.BootReport) {
	data, err := json.Marshal(report)
	if err == nil {
		err = atomicfile.Write(r.path, data, 0o644)
	}
	if err != nil {
		r.log.Error(err, "Failed to write the boot report", "path", r.path)
	}
}

// End removes the report: from now on NodeAgent.status says it.
func (r *Reporter) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.remove()
}

// Resume lets the report be written again, because there is no NodeAgent any more whose status could say anything.
func (r *Reporter) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over, r.last = false, nil
}

func (r *Reporter) remove() {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Error(err, "Failed to remove the boot report", "path", r.path)
	}
}
