package report

import (
	"bytes"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// reductions are what a status goes without, one after the other, until the API server takes it: first what programs of
// other people had a say in, at last everything but that the agent lives.
var reductions = []func(*v1alpha1.NodeAgentStatus){
	func(s *v1alpha1.NodeAgentStatus) {
		s.Findings = nil
		for i := range s.Components {
			if exit := s.Components[i].LastExit; exit != nil {
				exit.LogTail = ""
			}
		}
		if failed := s.FailedRevision; failed != nil {
			failed.Message, failed.Exit = "", nil
		}
	},
	func(s *v1alpha1.NodeAgentStatus) {
		s.Components, s.BootTimeline, s.FailedRevision, s.Certificates = nil, nil, nil, nil
	},
	func(s *v1alpha1.NodeAgentStatus) {
		*s = v1alpha1.NodeAgentStatus{ObservedGeneration: s.ObservedGeneration, HeartbeatTime: s.HeartbeatTime}
	},
}

// refusal is that the API server took a status for invalid. One bad field must not silence a node.
type refusal struct {
	// reductions is how many are needed, and missing what they leave out.
	reductions int
	missing    []byte
	// why is what the API server said at first.
	why string
}

// reduce is a status without what the refusal is about, and with a finding that says so instead.
func (r *refusal) reduce(status v1alpha1.NodeAgentStatus) v1alpha1.NodeAgentStatus {
	reduced := *status.DeepCopy()
	for _, reduction := range reductions[:r.reductions] {
		reduction(&reduced)
	}
	reduced.Findings = []v1alpha1.Finding{
		finding.Warning(finding.StatusRefused, "the API server refused a part of this status, which is left out; the agent's log has it all: %s", r.why),
	}
	return reduced
}

// without is what reducing a status leaves out.
func (r *refusal) without(status v1alpha1.NodeAgentStatus) ([]byte, error) {
	reduced := r.reduce(status)
	return patch(&reduced, status, nil)
}

// fit is a status as the API server takes it as far as is known. When what it refused has changed it gets all again.
func (w *writer) fit(status v1alpha1.NodeAgentStatus) v1alpha1.NodeAgentStatus {
	if w.refused == nil {
		return status
	}
	if missing, err := w.refused.without(status); err != nil || !bytes.Equal(missing, w.refused.missing) {
		w.refused = nil
		return status
	}
	return w.refused.reduce(status)
}

// refuse takes down that the API server refused a status; false says that nothing is left to leave out.
func (w *writer) refuse(status v1alpha1.NodeAgentStatus, cause error) bool {
	next := refusal{reductions: 1, why: cause.Error()}
	if w.refused != nil {
		next.reductions, next.why = w.refused.reductions+1, w.refused.why
	}
	if next.reductions > len(reductions) {
		return false
	}
	missing, err := next.without(status)
	if err != nil {
		return false
	}
	next.missing, w.refused = missing, &next
	return true
}
