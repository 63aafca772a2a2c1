package planner

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// maxDeferred is how many deferrals a status has. It is the schema's.
const maxDeferred = 10

// Deferral says why actions were not taken.
type Deferral struct {
	// Verb is what would have been done.
	Verb Verb
	// Count is to how many machines.
	Count int
	// Reason is stable and in CamelCase.
	Reason string
	// Message says what has to happen first.
	Message string
}

// Reasons of a Deferral. They reach statuses, events and metrics.
const (
	DeferredCacheBehind = "CacheBehind"
	DeferredUnconfirmed = "CacheUnconfirmed"
	DeferredPaused      = "Paused"
	DeferredStopped     = "FleetStopped"
	DeferredDeleting    = "Deleting"
	DeferredStalled     = "Stalled"
	DeferredRefused     = "Refused"
	DeferredReservation = "ReservationOpen"
	DeferredBatch       = "BatchFull"
	DeferredRolledBack  = "RolledBack"
	DeferredRollout     = "OneAtATime"
	// DeferredMaxUnavailable is DeferredRollout for a pool of which more than one node may be unavailable.
	DeferredMaxUnavailable = "MaxUnavailable"
	DeferredCanary         = "Canary"
	// DeferredReplacement: another machine has to be available in the place of one that goes.
	DeferredReplacement = "ReplacementFirst"
	DeferredBudget      = "DisruptionBudget"
	// DeferredRolloutFirst: what the template asks for goes before what is renewed.
	DeferredRolloutFirst = "RolloutFirst"
	// DeferredRepairFrozen: more is wrong than the machines that are unhealthy.
	DeferredRepairFrozen = v1alpha1.RepairFrozenCondition
	// DeferredRepairHeld: somebody wants to look at the machine.
	DeferredRepairHeld = "RepairHeld"
	// DeferredBudgetsInvalid: nobody knows what they allow.
	DeferredBudgetsInvalid = v1alpha1.ReasonBudgetsInvalid
)

// turns are reasons for which the others wait while some are changed. It goes on by itself.
var turns = []string{DeferredRollout, DeferredMaxUnavailable, DeferredCanary, DeferredReplacement, DeferredRolloutFirst}

// passing are reasons that are over within moments. A status that had them would be written for each.
var passing = []string{DeferredCacheBehind, DeferredUnconfirmed, DeferredReservation, DeferredBatch}

// deferredFor finds out whether anything was deferred for a reason.
func (r Result) deferredFor(reason string) bool {
	for _, d := range r.Deferred {
		if d.Reason == reason {
			return true
		}
	}
	return false
}

// lasting are the deferrals that do not pass within moments. What was refused in this very round is tried again as late as what was
// refused before.
func lasting(result Result, outcome Outcome) []Deferral {
	var list []Deferral
	if i := slices.IndexFunc(outcome.Failures, func(f Failure) bool { return !f.Passing }); i >= 0 {
		list = append(list, Deferral{Verb: Create, Count: notMade(result, outcome), Reason: DeferredRefused, Message: outcome.Failures[i].Message})
	}
	for _, d := range result.Deferred {
		if !slices.Contains(passing, d.Reason) {
			list = append(list, d)
		}
	}
	return list
}

// disruptionStatus says what is deferred; nil when nothing is.
func disruptionStatus(deferred []Deferral) *v1alpha1.NodePoolDisruption {
	if len(deferred) == 0 {
		return nil
	}
	status := &v1alpha1.NodePoolDisruption{}
	for _, d := range deferred[:min(len(deferred), maxDeferred)] {
		status.Deferred = append(status.Deferred, v1alpha1.DeferredAction{
			Action: string(d.Verb), Count: int32(d.Count), Reason: d.Reason, //nolint:gosec // a pool has at most 10,000 machines
			Message: v1alpha1.BoundMessage(strings.Join(strings.Fields(d.Message), " ")),
		})
	}
	return status
}

// deferralEvents are of what is deferred now, and was not before, for a reason that somebody may want to hear of. Whose turn it is
// goes on by itself, and of what stalls a pool another event speaks.
func deferralEvents(before, after v1alpha1.NodePoolStatus, deferred []Deferral) []Event {
	stalled := meta.FindStatusCondition(after.Conditions, v1alpha1.StalledCondition)
	if stalled != nil && !isHalted(stalled.Reason) {
		return nil
	}
	var list []Event
	for _, d := range deferred {
		if slices.Contains(turns, d.Reason) || wasDeferred(before, d) {
			continue
		}
		list = append(list, Event{Type: corev1.EventTypeNormal, Reason: d.Reason, Action: string(d.Verb), OfStatus: true, Note: d.String()})
	}
	return list
}

func wasDeferred(before v1alpha1.NodePoolStatus, d Deferral) bool {
	return before.Disruption != nil && slices.ContainsFunc(before.Disruption.Deferred, func(was v1alpha1.DeferredAction) bool {
		return was.Action == string(d.Verb) && was.Reason == d.Reason
	})
}

// toBe is what a machine waits for, with an action's verb.
var toBe = map[Verb]string{
	Create: "to be made", Delete: "to be deleted", Release: "to be let go", Discard: "to be given up",
	Update: "to be changed", Uncordon: "to be uncordoned", Treat: "to be repaired",
}

func (d Deferral) String() string {
	return counted(d.Count, "machine waits ", "machines wait ") + toBe[d.Verb] + ": " + d.Message
}
