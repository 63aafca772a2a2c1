package planner

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// condemned is the revision of the pool's template, where its status says that it was given up; nil where it does not.
func (f *fleet) condemned() *v1alpha1.FailedRollout {
	if was := f.Pool.Status.Rollout; was != nil && was.Failed != nil && f.Revision != "" && was.Failed.Revision == f.Revision {
		return was.Failed
	}
	return nil
}

// rollsBack says that nodes are given back what they ran before, where one went back by itself.
func (f *fleet) rollsBack() bool {
	return f.Pool.Spec.Rollout.OnFailure == v1alpha1.RolloutOnFailureRollback
}

// reverts says that the nodes that were given the template are given back what they ran before.
func (r *rollout) reverts() bool { return r.target != r.Revision }

// failure is what the status is to remember of a rollout that failed. It is remembered before any node is given back what it ran:
// then nothing else tells of it. One that failed by other facts of the cluster, or from which there is no way back, is not: as
// long as the machine that went back is there, the others wait.
func (r *rollout) failure() *v1alpha1.FailedRollout {
	if r.condemned != nil || r.failed == nil || !r.rollsBack() {
		return r.condemned
	}
	good := r.goodAfter(r.failed, r.Revision)
	if good == r.Revision || !r.isUsable(good) {
		return nil
	}
	at := r.failed.wentBackAt()
	if at.IsZero() {
		at = metav1.NewTime(r.Now.Truncate(time.Second))
	}
	return &v1alpha1.FailedRollout{
		Revision: r.Revision, PreviousRevision: good, Machine: r.failed.Name, Message: v1alpha1.BoundMessage(whyFailed(r.failed)), Time: at,
	}
}

// toRevert is how many machines were given what failed, and have yet to run what they are given again.
func (r *rollout) toRevert() int {
	n := len(r.waiting) + len(r.unreachable) + len(r.spared) + len(r.replaced)
	for _, m := range r.begunMembers() {
		if !r.wants(m) {
			n++
		}
	}
	return n
}

// whyReverted is why a node is given back what it ran before.
func (r *rollout) whyReverted() string {
	return fmt.Sprintf("%s went back from revision %s, which is given up", r.condemned.Machine, r.Revision)
}

// judgeCondemned answers for a template that was given up.
func judgeCondemned(r *rollout, _ Result, _ Outcome, _ tally) *verdict {
	if c := r.failure(); c != nil {
		return &verdict{reason: v1alpha1.ReasonRolledBack, message: r.condemnedMessage(c), stalled: true}
	}
	return nil
}

func (r *rollout) condemnedMessage(c *v1alpha1.FailedRollout) string {
	message := fmt.Sprintf("Machine %s went back from revision %s to %s: %s. ", c.Machine, c.Revision, c.PreviousRevision, v1alpha1.Shorten(c.Message, maxFailure))
	switch left := r.toRevert(); {
	case r.condemned == nil:
		message += fmt.Sprintf("No other machine is given it, and those that were are given revision %s again", c.PreviousRevision)
	case !r.reverts():
		message += "It is given to no machine, and those that run it keep it"
	case left > 0:
		message += fmt.Sprintf("%s yet to run revision %s again", counted(left, "machine that was given it has", "machines that were given it have"), r.target)
	default:
		message += fmt.Sprintf("No machine is given it, and those that were run revision %s again", r.target)
	}
	return message + ": change the template"
}
