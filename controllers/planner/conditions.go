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
	// stalled: a user's help is needed. progressing: it is on the way. Neither: it is done, or paused.
	stalled, progressing bool
}

// judgement is one question about a pool; it answers with a verdict or leaves it to the next.
type judgement func(*fleet, Result, Outcome, tally) *verdict

// judgements are asked in this order. The first that answers is right.
var judgements = []judgement{judgeComplete, judgePaused, judgeProblems, judgeDeleting, judgeFailures, judgeScaling, judgeReadiness}

func setConditions(status *v1alpha1.NodePoolStatus, f *fleet, result Result, outcome Outcome, t tally, drains []blockedDrain) {
	v := judge(f, result, outcome, t)
	set := func(conditionType string, truth bool, reason, message string) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: conditionType, Status: conditionStatus(truth), ObservedGeneration: f.Pool.Generation,
			LastTransitionTime: metav1.NewTime(f.Now.Truncate(time.Second)), Reason: reason, Message: v1alpha1.BoundMessage(message),
		})
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
	set(v1alpha1.AvailableCondition, enough, reason, fmt.Sprintf("%d of %d machines are available", t.available, t.want))
	setWhile(v1alpha1.ReconcilingCondition, v.progressing, v.reason, v.message)
	setWhile(v1alpha1.StalledCondition, v.stalled, v.reason, v.message)
	setWhile(v1alpha1.DrainBlockedCondition, len(drains) > 0, v1alpha1.ReasonPodDisruptionBudget, drainMessage(drains))
}

func judge(f *fleet, result Result, outcome Outcome, t tally) verdict {
	for _, question := range judgements {
		if v := question(f, result, outcome, t); v != nil {
			return *v
		}
	}
	return verdict{reason: v1alpha1.ReasonAllReplicasReady, message: fmt.Sprintf("%d of %d machines are ready", t.ready, t.want)}
}

// judgeComplete answers when nothing is left to do and nothing is wrong, also for a paused pool.
func judgeComplete(f *fleet, result Result, _ Outcome, t tally) *verdict {
	if f.deleting() || len(result.Problems) > 0 || t.total != t.want || t.active != t.want || t.ready != t.want {
		return nil
	}
	return &verdict{reason: v1alpha1.ReasonAllReplicasReady, message: fmt.Sprintf("%d of %d machines are ready", t.ready, t.want)}
}

func judgePaused(f *fleet, _ Result, _ Outcome, t tally) *verdict {
	if !f.paused() {
		return nil
	}
	message := fmt.Sprintf("The pool is paused with %d of %d machines ready: unset spec.paused to go on", t.ready, t.want)
	if f.deleting() {
		message = "The pool is being deleted and paused: unset spec.paused to drain and delete its machines"
	}
	return &verdict{reason: v1alpha1.ReasonPaused, message: message}
}

func judgeDeleting(f *fleet, _ Result, _ Outcome, t tally) *verdict {
	if !f.deleting() {
		return nil
	}
	message := fmt.Sprintf("The pool is being deleted; machines still to be drained and deleted: %d%s", t.total, holding(f))
	return &verdict{reason: v1alpha1.ReasonDeleting, message: message, progressing: true}
}

func judgeProblems(_ *fleet, result Result, _ Outcome, _ tally) *verdict {
	if len(result.Problems) == 0 {
		return nil
	}
	p := result.Problems[0]
	return &verdict{reason: p.Reason, message: p.Message, stalled: !p.Passing, progressing: p.Passing}
}

func judgeFailures(f *fleet, result Result, outcome Outcome, t tally) *verdict {
	failed := outcome.Failures
	if len(failed) == 0 && result.deferredFor(DeferredRefused) {
		failed = []Failure{{Name: f.Refused.Name, Message: f.Refused.Message}}
	}
	if len(failed) == 0 {
		return nil
	}
	first, lacking := failed[0], len(failed)
	if !first.Passing {
		lacking = t.want - t.active // the others were not even tried
	}
	return &verdict{
		reason:      v1alpha1.ReasonMachineCreateFailed,
		message:     fmt.Sprintf("%d machines could not be made; %s: %s", lacking, first.Name, first.Message),
		stalled:     !first.Passing,
		progressing: first.Passing,
	}
}

func judgeScaling(f *fleet, _ Result, _ Outcome, t tally) *verdict {
	switch {
	case t.active < t.want:
		return &verdict{reason: v1alpha1.ReasonScalingUp, message: fmt.Sprintf("Scaling up to %d machines: %d exist, %d are ready", t.want, t.active, t.ready), progressing: true}
	case t.active > t.want || t.total > t.active:
		return &verdict{
			reason:      v1alpha1.ReasonScalingDown,
			message:     fmt.Sprintf("Scaling down to %d; machines still to be drained and deleted: %d%s", t.want, t.total-t.want, holding(f)),
			progressing: true,
		}
	}
	return nil
}

func judgeReadiness(f *fleet, _ Result, outcome Outcome, t tally) *verdict {
	if t.ready >= t.want {
		return nil
	}
	var waiting []string
	for _, m := range f.active {
		if !isReady(m) {
			waiting = append(waiting, m.Name)
		}
	}
	for _, created := range outcome.Created {
		waiting = append(waiting, created.Name)
	}
	slices.Sort(waiting)
	message := fmt.Sprintf("%d of %d machines are ready; waiting for %s", t.ready, t.want, strings.Join(sample(waiting), ", "))
	if complaint := firstComplaint(f.active); complaint != "" {
		message += "; " + complaint
	}
	return &verdict{reason: v1alpha1.ReasonWaitingForMachines, message: message, progressing: true}
}

func drainMessage(drains []blockedDrain) string {
	parts := make([]string, 0, len(drains))
	for _, d := range drains {
		parts = append(parts, d.String())
	}
	return strings.Join(sample(parts), "; ")
}

func conditionStatus(truth bool) metav1.ConditionStatus {
	if truth {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
