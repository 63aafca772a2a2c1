package status

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Observed is all that a status is made from, as it was at one moment.
type Observed struct {
	Now          time.Time
	AgentVersion string
	// Generation and Revision are those of the state that is installed or, on a new machine, being installed, and Proxy is
	// what keeps Services there.
	Generation int64
	Revision   string
	Proxy      v1alpha1.ProxyMode
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
	s.ObservedGeneration, s.Revision, s.AgentVersion = o.Generation, o.Revision, o.AgentVersion
	s.Components = components(o.Components, o.Proxy)
	s.BootTimeline = o.Steps
	s.Findings = slices.Clone(o.Findings)
	remark := ""
	if f := servingCertificate(&o); f != nil {
		s.Findings = append(s.Findings, *f)
	}
	if f := agentCertificate(&o); f != nil {
		s.Findings, remark = append(s.Findings, *f), f.Message
	}
	finding.Sort(s.Findings)
	s.Conditions = conditions(last.Conditions, &o, remark)
	return s
}
