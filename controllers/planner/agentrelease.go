package planner

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// A revision may name a version of the agent. It is no step of the generation that the rest of the revision is on a node: the agent
// replaces itself once that is in place, and tells on its own what came of it. A node runs such a revision when both are so, and went back
// from it when either is not.

// releaseOf is the version of the agent that a revision names; nil where it names none, or where it is not known what it asks for.
func (f *fleet) releaseOf(revision string) *v1alpha1.AgentRelease {
	if spec := f.Contents[revision].Spec; spec != nil {
		return spec.Agent
	}
	return nil
}

// takeRelease finds out what became of the agent that a machine was told to have.
func (f *fleet) takeRelease(m *machine) {
	release, program := f.releaseOf(m.told), m.agent.Status.Agent
	switch {
	case release == nil || !m.heardOf():
	case program != nil && program.Failed != nil && names(release, program.Failed.Digest):
		m.gaveUp = program.Failed
	case program != nil && names(release, program.Digest):
	default:
		m.due = release
	}
}

// hasReleaseOf says that the agent which runs is the one that a revision names, if that names any.
func (f *fleet) hasReleaseOf(revision string, agent *v1alpha1.NodeAgent) bool {
	release := f.releaseOf(revision)
	return release == nil || agent.Status.Agent != nil && names(release, agent.Status.Agent.Digest)
}

// names says that a release has an image with that digest, for whatever architecture.
func names(release *v1alpha1.AgentRelease, digest string) bool {
	return digest != "" && slices.ContainsFunc(release.Artifacts, func(a v1alpha1.Artifact) bool { return strings.HasSuffix(a.Image, "@"+digest) })
}

// byItsAgent says that a machine failed by the agent of the revision that it was told, and by nothing else: it runs the rest of it, or
// is on its way there.
func (m *machine) byItsAgent(revision string) bool {
	return m.gaveUp != nil && m.told == revision && !m.rolledBackFrom(revision)
}

// whyDue is what keeps the agent from the version that it is to change to, as the end of a sentence: that may last, where the image
// cannot be fetched or is of another architecture.
func (m *machine) whyDue() string {
	for _, f := range m.agent.Status.Findings {
		if f.Name == v1alpha1.FindingAgentUpdate {
			return ": " + v1alpha1.Shorten(f.Message, maxComplaint)
		}
	}
	return ""
}

// wayBack says what a machine went back from, and to what.
func (m *machine) wayBack() string {
	if m.byItsAgent(m.told) {
		return fmt.Sprintf("the agent of revision %s to the one before it", m.told)
	}
	return fmt.Sprintf("revision %s to %s", m.agent.Status.FailedRevision.Revision, m.agent.Status.CurrentRevision)
}

// wentBackAt is when a machine went back, zero where its agent does not say.
func (m *machine) wentBackAt() metav1.Time {
	if m.byItsAgent(m.told) {
		return m.gaveUp.Time
	}
	return m.agent.Status.FailedRevision.Time
}

// whyGaveUp is why an agent was given up, in its own words.
func whyGaveUp(failed *v1alpha1.FailedAgent) string {
	return v1alpha1.Shorten(fmt.Sprintf("agent %s: %s: %s", failed.Version, failed.Reason, failed.Message), maxFailure)
}
