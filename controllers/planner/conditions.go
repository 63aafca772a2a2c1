package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// verdict is the state of a pool in one word and one sentence.
type verdict struct {
	reason, message string
	// stalled: a user's help is needed. progressing: it is on the way. Neither: it is done.
	stalled, progressing bool
}

// judgement is one question about a pool; it answers with a verdict or leaves it to the next.
type judgement func(*rollout, Result, Outcome, tally) *verdict

// judgements are asked in this order. The first that answers is right.
var judgements = []judgement{judgeComplete, judgePaused, judgeProblems, judgeBudgets, judgeStopped, judgeDeleting, judgeFailures, judgeCondemned, judgeRolledBack, judgeUpdateFailures, judgeDeadline, judgeSpared, judgeRepair, judgeScaling, judgeUpdate, judgeRenewal, judgeReadiness}

func setConditions(status *v1alpha1.NodePoolStatus, f *fleet, result Result, outcome Outcome, t tally, drains []blockedDrain) {
	v := judge(f.rollout, result, outcome, t)
	is := func(conditionType string, truth metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: conditionType, Status: truth, ObservedGeneration: f.Pool.Generation,
			LastTransitionTime: metav1.NewTime(f.Now.Truncate(time.Second)), Reason: reason, Message: v1alpha1.BoundMessage(message),
		})
	}
	set := func(conditionType string, truth bool, reason, message string) {
		is(conditionType, conditionStatus(truth), reason, message)
	}
	setWhile := func(conditionType string, truth bool, reason, message string) {
		if !truth {
			meta.RemoveStatusCondition(&status.Conditions, conditionType)
			return
		}
		set(conditionType, true, reason, message)
	}

	set(v1alpha1.ReadyCondition, v.reason == v1alpha1.ReasonAllReplicasReady, v.reason, v.message)
	enough, reason := t.available >= t.want, v1alpha1.ReasonEnoughAvailable
	if !enough {
		reason = v1alpha1.ReasonTooFewAvailable
	}
	set(v1alpha1.AvailableCondition, enough, reason, machinesOf(t.available, t.want, "is available", "are available"))
	setWhile(v1alpha1.ReconcilingCondition, v.progressing, v.reason, v.message)
	setWhile(v1alpha1.StalledCondition, v.stalled, v.reason, v.message)
	halted, message := whyHalted(f.rollout, t)
	setWhile(v1alpha1.SuspendedCondition, halted != "", halted, message)
	setWhile(v1alpha1.RepairFrozenCondition, f.repair.frozen != "", f.repair.frozen, f.repair.says())
	setWhile(v1alpha1.DrainBlockedCondition, len(drains) > 0, drainReason(drains), drainMessage(drains))
	if truth, reason, message := f.refreshed(); reason == "" || f.deleting() {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.RefreshedCondition)
	} else {
		is(v1alpha1.RefreshedCondition, truth, reason, message)
	}
	truth, reason, message := rolloutCompletes(f.rollout, result, outcome, t)
	is(v1alpha1.RolloutCompleteCondition, truth, reason, message)
}

func judge(f *rollout, result Result, outcome Outcome, t tally) verdict {
	for _, question := range judgements {
		if v := question(f, result, outcome, t); v != nil {
			return *v
		}
	}
	return verdict{reason: v1alpha1.ReasonAllReplicasReady, message: machinesOf(t.ready, t.want, "is ready", "are ready")}
}

// judgeComplete answers when nothing is left to do and nothing is wrong, also for a paused pool.
func judgeComplete(f *rollout, result Result, _ Outcome, t tally) *verdict {
	if f.deleting() || len(result.Problems)+len(f.badBudgets) > 0 || t.total != t.want || t.active != t.want || t.ready != t.want || !f.done() || f.isRefreshing() || f.condemned != nil {
		return nil
	}
	return &verdict{reason: v1alpha1.ReasonAllReplicasReady, message: machinesOf(t.ready, t.want, "is ready", "are ready")}
}

func judgePaused(f *rollout, _ Result, _ Outcome, t tally) *verdict {
	if !f.paused() {
		return nil
	}
	return &verdict{reason: v1alpha1.ReasonPaused, message: pausedMessage(f, t), stalled: true}
}

func pausedMessage(f *rollout, t tally) string {
	if f.deleting() {
		return "The pool is being deleted and paused: unset spec.paused to drain and delete its machines"
	}
	return fmt.Sprintf("The pool is paused with %s%s: unset spec.paused to go on", machinesOf(t.ready, t.want, "ready", "ready"), f.notUpdated())
}

// judgeStopped answers when nothing is left to do but what the stop of the fleet holds.
func judgeStopped(f *rollout, result Result, _ Outcome, t tally) *verdict {
	if !result.deferredFor(DeferredStopped) || t.active < t.want {
		return nil
	}
	var held []string
	for _, d := range result.Deferred {
		if d.Reason == DeferredStopped {
			held = append(held, counted(d.Count, "machine waits ", "machines wait ")+toBe[d.Verb])
		}
	}
	message := strings.Join(held, ", ") + ": " + f.Stopped + ". Take the annotation away to go on"
	return &verdict{reason: v1alpha1.ReasonFleetStopped, message: message, stalled: true}
}

// whyHalted is what keeps a pool as it is, or its machines, with words for it; empty when nothing does.
func whyHalted(f *rollout, t tally) (reason, message string) {
	switch {
	case f.paused():
		return v1alpha1.ReasonPaused, pausedMessage(f, t)
	case f.Stopped != "":
		return v1alpha1.ReasonFleetStopped, "No node is disrupted, while machines that are lacking are made: " + f.Stopped
	default:
		return "", ""
	}
}

// isHalted says that a pool is stalled for what somebody did who knows it, and who can let it go on.
func isHalted(reason string) bool {
	return reason == v1alpha1.ReasonPaused || reason == v1alpha1.ReasonFleetStopped || reason == v1alpha1.ReasonDoNotDisrupt
}

func judgeDeleting(f *rollout, _ Result, _ Outcome, t tally) *verdict {
	if !f.deleting() {
		return nil
	}
	message := fmt.Sprintf("The pool is being deleted; machines still to be drained and deleted: %d%s", t.total, holding(f.fleet))
	return &verdict{reason: v1alpha1.ReasonDeleting, message: message, progressing: true}
}

func judgeProblems(_ *rollout, result Result, _ Outcome, _ tally) *verdict {
	if len(result.Problems) == 0 {
		return nil
	}
	p := result.Problems[0]
	return &verdict{reason: p.Reason, message: p.Message, stalled: !p.Passing, progressing: p.Passing}
}

func judgeFailures(f *rollout, result Result, outcome Outcome, _ tally) *verdict {
	failed := outcome.Failures
	if len(failed) == 0 && result.deferredFor(DeferredRefused) {
		failed = []Failure{{Name: f.Refused.Name, Message: f.Refused.Message}}
	}
	if len(failed) == 0 {
		return nil
	}
	first, lacking := failed[0], len(failed)
	if !first.Passing {
		lacking = notMade(result, outcome) // the others were not even tried
	}
	return &verdict{
		reason:      v1alpha1.ReasonMachineCreateFailed,
		message:     fmt.Sprintf("%s could not be made; %s: %s", counted(lacking, "machine", "machines"), first.Name, first.Message),
		stalled:     !first.Passing,
		progressing: first.Passing,
	}
}

func judgeScaling(f *rollout, result Result, outcome Outcome, t tally) *verdict {
	switch {
	case t.active < t.want:
		message := fmt.Sprintf("Scaling up to %s: %s, %s", counted(t.want, "machine", "machines"), counted(t.active, "exists", "exist"), counted(t.ready, "is ready", "are ready"))
		return &verdict{reason: v1alpha1.ReasonScalingUp, message: message + saysHeldBack(f, result), progressing: true}
	case t.active > t.want+f.replacement.extra || t.total > t.active && !f.isReplacing() && !f.isRenewing(outcome):
		return &verdict{
			reason:      v1alpha1.ReasonScalingDown,
			message:     fmt.Sprintf("Scaling down to %d; machines still to be drained and deleted: %d%s%s", t.want, t.total-t.want, holding(f.fleet), saysOverBudget(result)),
			progressing: true,
		}
	}
	return nil
}

// saysHeldBack says what the next machine waits for where that may last, as the end of a sentence: a machine that went back
// from the target, and tries it again.
func saysHeldBack(f *rollout, result Result) string {
	for _, d := range result.Deferred {
		if d.Verb == Create && d.Reason == DeferredRolledBack {
			return fmt.Sprintf("; %s: %s, and %s", counted(d.Count, "waits", "wait"), d.Message, f.state(f.doubted))
		}
	}
	return ""
}

func judgeReadiness(f *rollout, _ Result, outcome Outcome, t tally) *verdict {
	if t.ready >= t.want {
		return nil
	}
	var waiting []string
	for _, m := range f.active {
		if !m.ready {
			waiting = append(waiting, m.Name)
		}
	}
	for _, created := range outcome.Created {
		waiting = append(waiting, created.Name)
	}
	slices.Sort(waiting)
	message := fmt.Sprintf("%s; waiting for %s", machinesOf(t.ready, t.want, "is ready", "are ready"), strings.Join(sample(waiting), ", "))
	if complaint := firstComplaint(f.active); complaint != "" {
		message += "; " + complaint
	}
	return &verdict{reason: v1alpha1.ReasonWaitingForMachines, message: message, progressing: true}
}

func conditionStatus(truth bool) metav1.ConditionStatus {
	if truth {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
