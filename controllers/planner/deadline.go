package planner

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// defaultProgressDeadline is the schema's.
const defaultProgressDeadline = 600

// usersRules are reasons for which a node is not changed because its user said so, with an end that is his to know.
var usersRules = []string{DeferredPaused, DeferredStopped, DeferredBudget, DeferredBudgetsInvalid, DeferredDoNotDisrupt}

// mustProgress says that a rollout is to get on: a node is there whose change is not over, or might begin, and nothing of the user's
// holds it. One that failed has ended, and machines that are made have a time of their own.
func (r *rollout) mustProgress(result Result) bool {
	halted := r.Revision == "" || r.deleting() || r.paused() || r.Stopped != "" || len(result.Problems)+len(r.badBudgets) > 0
	if halted || r.failed != nil || r.condemned != nil {
		return false
	}
	begun, inWork := r.begunMembers(), func(m *machine) bool { return !r.rests(m) }
	switch {
	case len(r.unreachable) > 0, slices.ContainsFunc(begun, inWork):
		return true
	case len(r.waiting)+len(r.replaced) == 0: // One that fell ill since is in nobody's way.
		return false
	case slices.ContainsFunc(r.replacement.pending, r.mayStillJoin):
		return false
	default:
		return slices.ContainsFunc(r.open, inWork) || !r.waitsForUser(result)
	}
}

// waitsForUser says that all nodes that are to be changed wait for a rule of the user's alone, nodes that have to stay well included.
func (r *rollout) waitsForUser(result Result) bool {
	rests := r.canary.isSoaking() || len(r.resting()) > 0
	waits := false
	for _, d := range lasting(result, Outcome{}) {
		if d.Verb != Update && d.Verb != Delete || d.Reason == DeferredRolloutFirst {
			continue
		}
		if !slices.Contains(usersRules, d.Reason) && (!rests || !slices.Contains(turns, d.Reason)) {
			return false
		}
		waits = true
	}
	return waits && len(result.Of(Update)) == 0
}

// mayStillJoin says that a machine which is made has time left until it is to have joined.
func (r *rollout) mayStillJoin(m *machine) bool {
	const defaultTimeout = 900 // the schema's
	timeout := time.Duration(ptr.Deref(r.Pool.Spec.NodeStartupTimeoutSeconds, defaultTimeout)) * time.Second
	return !m.joined() && r.Now.Before(m.CreationTimestamp.Add(timeout))
}

// progressedAt is when the rollout got on last: the change of a node began, was over, or proved itself. Zero while it need not.
func (r *rollout) progressedAt(result Result, reached int) metav1.Time {
	if !r.mustProgress(result) {
		return metav1.Time{}
	}
	was := r.Pool.Status.Rollout
	if was == nil || was.Revision != r.Revision || was.ProgressedAt.IsZero() ||
		reached > int(ptr.Deref(was.Updated, 0)) || result.Progressed {
		return metav1.NewTime(r.Now.Truncate(time.Second))
	}
	return was.ProgressedAt
}

// deadline is when a rollout that got on last at some time has not for too long. A machine that is being deleted, for which others
// wait, has as long to go.
func (r *rollout) deadline(since time.Time) time.Time {
	for _, m := range r.leaving {
		if m.DeletionTimestamp.After(since) {
			since = m.DeletionTimestamp.Time
		}
	}
	return since.Add(time.Duration(ptr.Deref(r.Pool.Spec.Rollout.ProgressDeadlineSeconds, defaultProgressDeadline)) * time.Second)
}

// isOverdue says that a rollout has not got on for too long. That is no failure of the revision, and holds nothing: a node that cannot
// be drained, or is not heard of, was not given it, and to take it from those that run it well would disrupt them for nothing.
func (r *rollout) isOverdue(result Result, reached int) bool {
	since := r.progressedAt(result, reached)
	return !since.IsZero() && !r.Now.Before(r.deadline(since.Time))
}

// untilDeadline is how long a rollout has to get on; zero for one that need not, or did not.
func (r *rollout) untilDeadline(result Result) time.Duration {
	since := r.progressedAt(result, r.updated)
	if since.IsZero() {
		return 0
	}
	return max(0, r.deadline(since.Time).Sub(r.Now))
}

// judgeDeadline answers when a rollout has not got on for too long.
func judgeDeadline(r *rollout, result Result, outcome Outcome, t tally) *verdict {
	if !r.isOverdue(result, t.reached) {
		return nil
	}
	message := fmt.Sprintf("The rollout has not got on since %s, for longer than spec.rollout.progressDeadlineSeconds allows: %s revision %s",
		r.progressedAt(result, t.reached).UTC().Format(time.RFC3339), machinesOf(t.reached, t.want, "runs", "run"), r.target)
	if words := r.waitsFor(result, outcome, t); words != "" {
		message += "; " + words
	}
	return &verdict{reason: v1alpha1.ReasonProgressDeadlineExceeded, message: message, stalled: true}
}
