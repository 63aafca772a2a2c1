package planner

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// waitsFor is what a rollout waits for at present, as the first of these has it; empty for one that is complete.
func (r *rollout) waitsFor(result Result, outcome Outcome, t tally) string {
	if r.phase() == v1alpha1.RolloutPhaseComplete {
		return ""
	}
	if r.paused() {
		return "spec.paused is set"
	}
	for _, says := range []func(Result, Outcome) string{r.saysOver, r.saysUnderWay, r.saysNext} {
		if words := says(result, outcome); words != "" {
			return words
		}
	}
	if t.active < t.want {
		return "machines are made: " + machinesOf(t.active, t.want, "exists", "exist")
	}
	for _, m := range r.active {
		if !m.runs(r.target) {
			return m.Name + " " + r.state(m)
		}
	}
	return ""
}

// saysOver is why a rollout does not go on before its template is another one, or what it waits for on its way back.
func (r *rollout) saysOver(result Result, outcome Outcome) string {
	switch {
	case r.reverts() && r.toRevert() > 0:
		return r.saysUnderWay(result, outcome)
	case r.condemned != nil:
		return fmt.Sprintf("another template: %s went back from revision %s", r.condemned.Machine, r.Revision)
	case r.failed != nil:
		return fmt.Sprintf("another template, or %s to go: it went back from revision %s", r.failed.Name, r.target)
	default:
		return ""
	}
}

// saysUnderWay is how far the nodes are whose change has begun, or the canary.
func (r *rollout) saysUnderWay(result Result, outcome Outcome) string {
	if words := saysBegun(r, result, outcome, r.begunMembers()); words != "" {
		return words
	}
	if r.canary.isSoaking() {
		return r.canary.says()
	}
	return ""
}

// saysNext is what the next node waits for, or those that nobody can change.
func (r *rollout) saysNext(result Result, outcome Outcome) string {
	if words := saysReplaced(r, result, outcome, nil); words != "" {
		return words
	}
	for _, d := range lasting(result, Outcome{}) {
		if d.Verb == Update && d.Message != "" {
			return d.Message
		}
	}
	return saysUnreachable(r, result, outcome, nil)
}

// rolloutCompletes is the pool's condition RolloutComplete. While nobody knows what the template asks for, nobody knows that.
func rolloutCompletes(r *rollout, result Result, outcome Outcome, t tally) (truth metav1.ConditionStatus, reason, message string) {
	phase := r.phase()
	switch halted, why := whyHalted(r, t); {
	case r.deleting():
		return metav1.ConditionFalse, v1alpha1.ReasonDeleting, "The pool is being deleted"
	case r.Revision == "":
		return unknownTemplate(result)
	case phase == v1alpha1.RolloutPhaseComplete:
		return metav1.ConditionTrue, string(phase), machinesOf(t.reached, t.want, "runs", "run") + " revision " + r.Revision
	case len(result.Problems) > 0:
		return metav1.ConditionFalse, result.Problems[0].Reason, result.Problems[0].Message
	case halted != "":
		return metav1.ConditionFalse, halted, why
	case r.isOverdue(result, t.reached):
		reason = v1alpha1.ReasonProgressDeadlineExceeded
	default:
		reason = string(phase)
	}
	message = machinesOf(t.reached, t.want, "runs", "run") + " revision " + r.target
	if words := r.waitsFor(result, outcome, t); words != "" {
		message += "; " + words
	}
	return metav1.ConditionFalse, reason, message
}

func unknownTemplate(result Result) (truth metav1.ConditionStatus, reason, message string) {
	reason, message = v1alpha1.ReasonUpdating, "It is not known yet what the template asks for"
	if len(result.Problems) > 0 {
		reason, message = result.Problems[0].Reason, result.Problems[0].Message
	}
	return metav1.ConditionUnknown, reason, message
}
