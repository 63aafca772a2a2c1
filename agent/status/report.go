package status

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// maxFindings is how many the API takes. The worst come first.
const maxFindings = 32

// Observed is all that a status is made from, as it was at one moment.
type Observed struct {
	Now          time.Time
	AgentVersion string
	// Agent is where the agent's program is from, nil for what the machine was set up with.
	Agent *v1alpha1.AgentProgram
	// Repair is what became of the request to repair the machine that was made last, nil for none.
	Repair *v1alpha1.RepairAnswer
	// Generation is that of the NodeAgent that is wanted. Revision is that of the state that is installed or, on a new machine,
	// being installed, and Proxy is what keeps Services there.
	Generation int64
	Revision   string
	Proxy      v1alpha1.ProxyMode
	// ClusterHash is that of the facts of the cluster in the state that Revision is of.
	ClusterHash string
	// Progress is where the machine is between its generations, and Phase how far the wanted one is.
	Progress generation.State
	Phase    v1alpha1.NodeAgentPhase
	// Obstacle is why the state that is wanted is not installed, nil for nothing.
	Obstacle *generation.Obstacle
	// Components are the processes as the supervisor sees them, and the pod network.
	Components []v1alpha1.ComponentStatus
	// Probed are the conditions that the probes led to; one that is missing was not probed yet.
	Probed []metav1.Condition
	// Findings are those of the machine and of the pod network.
	Findings []v1alpha1.Finding
	// Certificate is the agent's, nil when it has none that is good.
	Certificate *Certificate
	// Certificates are all that the node has.
	Certificates []v1alpha1.CertificateStatus
	// Serving says that the kubelet has a certificate to serve with.
	Serving bool
	// Steps are those of joining that are done.
	Steps []v1alpha1.BootStep
}

// Certificate is the agent's own.
type Certificate struct {
	NotAfter time.Time
	// Overdue says that it should have been renewed long ago.
	Overdue bool
	// Failure is why it was not renewed the last time that failed, nil when it never did.
	Failure error
}

// Report is a status that follows another one. It keeps the transition time of a condition whose status is what it was.
func Report(last v1alpha1.NodeAgentStatus, o Observed) v1alpha1.NodeAgentStatus {
	s := last
	s.ObservedGeneration, s.AgentVersion, s.Agent, s.Repair = o.Generation, o.AgentVersion, o.Agent, o.Repair
	s.Phase, s.CurrentRevision, s.PreviousRevision, s.ClusterHash = o.Phase, o.Revision, previous(&o), o.ClusterHash
	s.FailedRevision = failed(&o.Progress)
	s.Components = components(o.Components, o.Proxy)
	s.BootTimeline, s.Certificates = o.Steps, o.Certificates
	s.Findings = slices.Clone(o.Findings)
	remark := remarkOf(o.Findings)
	if f := servingCertificate(&o); f != nil {
		s.Findings = append(s.Findings, *f)
	}
	if f := agentCertificate(&o); f != nil {
		s.Findings, remark = append(s.Findings, *f), join(remark, f.Message)
	}
	finding.Sort(s.Findings)
	s.Findings = s.Findings[:min(len(s.Findings), maxFindings)]
	s.Conditions = conditions(last.Conditions, &o, remark)
	return s
}

// previous is the revision that had proved itself before the one that runs, which is still the good one while its successor is
// activated.
func previous(o *Observed) string {
	if good := o.Progress.Good; good != nil && o.Progress.Candidate != nil && good.Spec.Revision != o.Revision {
		return good.Spec.Revision
	}
	return o.Progress.Previous
}

func failed(s *generation.State) *v1alpha1.FailedRevision {
	f := s.Failed
	if f == nil {
		return nil
	}
	return &v1alpha1.FailedRevision{
		Revision: f.Revision, Reason: f.Reason, Message: v1alpha1.BoundMessage(s.Refusal()), Component: f.Component, Exit: f.Exit, Time: f.Time,
	}
}
