package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// done says that every machine runs the target, or was told to and is on its way there for the first time.
func (r *rollout) done() bool {
	return len(r.waiting)+len(r.unreachable)+len(r.spared)+len(r.replaced) == 0 && r.failed == nil && len(r.begunMembers()) == 0
}

func (r *rollout) begunMembers() []*machine {
	var begun []*machine
	for _, m := range r.active {
		if m.begun && !r.isOver(m) {
			begun = append(begun, m)
		}
	}
	return begun
}

// notUpdated says how many machines have yet to run the target, as the end of a sentence.
func (r *rollout) notUpdated() string {
	if n := len(r.waiting) + len(r.unreachable) + len(r.spared) + len(r.replaced); n > 0 {
		return " and " + counted(n, "that does not run its template yet", "that do not run its template yet")
	}
	return ""
}

// judgeRolledBack answers when a machine went back from the target, which nobody else is given.
func judgeRolledBack(r *rollout, _ Result, _ Outcome, t tally) *verdict {
	if r.failed == nil {
		return nil
	}
	held := len(r.waiting) + len(r.unreachable) + len(r.replaced) + max(0, t.want-t.active)
	return &verdict{reason: v1alpha1.ReasonRolledBack, message: r.failedMessage(held), stalled: true}
}

// judgeUpdateFailures answers when the API server does not let a machine be changed.
func judgeUpdateFailures(_ *rollout, _ Result, outcome Outcome, _ tally) *verdict {
	for _, failed := range outcome.UpdateFailures {
		if !failed.Passing {
			return &verdict{reason: v1alpha1.ReasonMachineUpdateFailed, message: fmt.Sprintf("Machine %s could not be changed: %s", failed.Name, failed.Message), stalled: true}
		}
	}
	return nil
}

// judgeUpdate answers while machines are on their way to the target.
func judgeUpdate(r *rollout, result Result, outcome Outcome, t tally) *verdict {
	begun := r.begunMembers()
	if len(r.waiting)+len(r.unreachable)+len(begun)+len(outcome.Updated)+len(outcome.Drains) == 0 && !r.isReplacing() {
		return nil
	}
	message := machinesOf(r.updated, t.want, "runs", "run") + " revision " + r.target
	if canary := r.canary.says(); canary != "" {
		message += "; " + canary
	}
	for _, why := range []func(*rollout, Result, Outcome, []*machine) string{saysBegun, saysReplaced, saysDeferred, saysUnreachable} {
		if words := why(r, result, outcome, begun); words != "" {
			return &verdict{reason: v1alpha1.ReasonUpdating, message: message + "; " + words, progressing: true}
		}
	}
	return &verdict{reason: v1alpha1.ReasonUpdating, message: message, progressing: true}
}

// saysBegun says how far those are that are changed.
func saysBegun(r *rollout, _ Result, outcome Outcome, begun []*machine) string {
	var states []string
	for _, d := range outcome.Drains {
		states = append(states, fmt.Sprintf("%s is drained%s before it is given revision %s: %s", d.Name, atMost(d.Until), r.target, oneLine(d.Message)))
	}
	for _, m := range begun {
		if !slices.ContainsFunc(outcome.Drains, func(d Drain) bool { return d.Name == m.Name }) {
			states = append(states, m.Name+" "+r.state(m))
		}
	}
	for _, a := range outcome.Updated {
		if !named(begun, a.Name) {
			states = append(states, fmt.Sprintf("%s is given revision %s", a.Name, a.Revision))
		}
	}
	return strings.Join(sample(states), ", ")
}

// saidElsewhere are reasons of deferrals of which a message says besides how far that is which the others wait for.
var saidElsewhere = []string{DeferredUnconfirmed, DeferredCanary, DeferredReplacement, DeferredRolloutFirst}

// saysDeferred says what the next one waits for.
func saysDeferred(_ *rollout, result Result, _ Outcome, _ []*machine) string {
	for _, d := range result.Deferred {
		if (d.Verb == Update || d.Verb == Delete) && !slices.Contains(saidElsewhere, d.Reason) {
			return fmt.Sprintf("%s: %s", counted(d.Count, "waits", "wait"), d.Message)
		}
	}
	return ""
}

func saysUnreachable(r *rollout, _ Result, _ Outcome, _ []*machine) string {
	var names []string
	for _, m := range r.unreachable {
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("nothing is heard of %s: it gets it when it is back; delete the Machine to have it replaced", strings.Join(sample(names), ", "))
}

func named(members []*machine, name string) bool {
	for _, m := range members {
		if m.Name == name {
			return true
		}
	}
	return false
}
