package planner

import (
	"fmt"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// madeFrom is the revision that machines to be made get: the target. While a machine has failed by that, and has not proved it
// since, it is the one which that machine went back to: the last that is known to be good, as OpenShift's machine-config
// server has it. Where that is not known, or asks for another infrastructure, it is the target, which is then held back.
func (r *rollout) madeFrom() string {
	good := r.target
	switch {
	case r.doubted != nil:
		good = r.goodAfter(r.doubted, r.target)
	case r.condemned != nil && r.target == r.Revision:
		good = r.condemned.PreviousRevision
	}
	if !r.isUsable(good) {
		return r.target
	}
	return good
}

// doubts says that a machine failed by a revision that it was told to run, and does not run it well since. It may try again
// at this moment: it was told something else in between, or its agent is one that takes other facts of the cluster for a reason.
func (m *machine) doubts(revision string) bool {
	if m.agent == nil || revision == "" {
		return false
	}
	if m.byItsAgent(revision) {
		return true
	}
	failed, told := m.agent.Status.FailedRevision, m.agent.Spec.Revision == revision || m.agent.Status.Phase == v1alpha1.PhaseRolledBack
	return failed != nil && failed.Revision == revision && told && !m.runs(revision)
}

// goesBackTo is what a machine runs that went back from a revision, or would go back to where it tries that again. One that runs it but
// for its agent would go back to what it ran before.
func (m *machine) goesBackTo(from string) string {
	s := m.agent.Status
	if s.Phase == v1alpha1.PhaseRolledBack || s.CurrentRevision != from {
		return s.CurrentRevision
	}
	return s.PreviousRevision
}

// goodAfter is what a machine goes back to from a revision. Where that names the agent which it gave up, it never ran all of that either: then it
// is what all machines of the pool ran last, if that is known and names another.
func (r *rollout) goodAfter(m *machine, from string) string {
	good := m.goesBackTo(from)
	if r.namesGivenUp(m, good) && r.Pool.Status.Rollout != nil {
		good = r.Pool.Status.Rollout.CompletedRevision
	}
	if r.namesGivenUp(m, good) {
		return ""
	}
	return good
}

// namesGivenUp says that a revision names the version of the agent that a machine gave up.
func (r *rollout) namesGivenUp(m *machine, revision string) bool {
	release := r.releaseOf(revision)
	return m.byItsAgent(m.told) && release != nil && names(release, m.gaveUp.Digest)
}

// isUsable says that it is known what a revision asks for, and that machines of it are made from the infrastructure that the template names.
func (r *rollout) isUsable(revision string) bool {
	content, known := r.Contents[revision]
	return known && !content.Elsewhere
}

// instead says of what machines are made that are not made from the target, and why, as the end of a sentence.
func (r *rollout) instead() string {
	made, culprit := r.madeFrom(), ""
	switch {
	case made == r.Revision:
		return ""
	case r.doubted != nil:
		culprit = r.doubted.Name
	case r.condemned != nil:
		culprit = r.condemned.Machine
	}
	return fmt.Sprintf("; it is made from revision %s, as %s went back from %s", made, culprit, r.Revision)
}
