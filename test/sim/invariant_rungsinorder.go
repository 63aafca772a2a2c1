package sim

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// rungsInOrder: a machine is asked for a rung when it is unhealthy, and within an hour never for one that it had, or for a lower one. A rung
// is taken after those below it, where the machine's agent is heard, and when the last of them has had its time.
var rungsInOrder = &invariant{name: "rungs-in-order", watches: func(w *watch) func(deed) error {
	last := map[string]*v1alpha1.RepairRequest{} // what each machine was asked for
	lost := map[string]bool{}                    // whose NodeAgent somebody has deleted since, with what is known of that for good
	return func(d deed) error {
		if d.kind == agents && d.after == nil {
			lost[d.name()] = true
		}
		if d.kind == agents && d.after != nil && d.by != nil {
			had, request := last[d.name()], as[*v1alpha1.NodeAgent](d.after).Spec.Repair
			if request == nil || had != nil && had.RequestedAt.Equal(&request.RequestedAt) {
				return nil
			}
			wasLost := lost[d.name()]
			last[d.name()], lost[d.name()] = request.DeepCopy(), false
			return w.mayAsk(d, had, wasLost, request)
		}
		if w.isRepair(d) && !d.by.deposed {
			return w.mayReplace(d, last[d.name()])
		}
		return nil
	}
}}

// order are the rungs from the lowest to the highest.
var order = []v1alpha1.RepairRung{v1alpha1.RepairRestartComponent, v1alpha1.RepairReboot, v1alpha1.RepairReplace}

func (w *watch) mayAsk(d deed, had *v1alpha1.RepairRequest, lost bool, request *v1alpha1.RepairRequest) error {
	machine := w.world.machine(d.name())
	if machine != nil {
		// One that is well by now was not when its manager looked.
		since := unhealthySince(machine)
		if c := meta.FindStatusCondition(machine.Status.Conditions, v1alpha1.MachineAgentHealthyCondition); since.IsZero() && c != nil && c.LastTransitionTime.Time.Before(d.by.begun.Add(-time.Second)) {
			return fmt.Errorf("Machine %s is asked for %s, and is well since %s", d.name(), request.Rung, clock(c.LastTransitionTime.Sub(epoch))) //nolint:staticcheck // a kind's name
		}
	}
	if had != nil && !lost && request.RequestedAt.Sub(had.RequestedAt.Time) < time.Hour && slices.Index(order, request.Rung) <= slices.Index(order, had.Rung) {
		return fmt.Errorf("Machine %s is asked for %s, and was for %s %s before", d.name(), request.Rung, had.Rung, request.RequestedAt.Sub(had.RequestedAt.Time)) //nolint:staticcheck // a kind's name
	}
	if lost {
		return nil // Nobody knows for certain what it was asked for.
	}
	return w.hadTheRungsBelow(d, had, request.Rung, request.RequestedAt.Time)
}

// mayReplace is about machines of which something is heard: on others there is nobody to ask. What a MachineHealthCheck has asked for,
// and for long enough, is another machine.
func (w *watch) mayReplace(d deed, had *v1alpha1.RepairRequest) error {
	machine, agent := as[*clusterv1.Machine](d.before), w.world.agent(d.name())
	says := func(conditionType string, status metav1.ConditionStatus) bool {
		return meta.IsStatusConditionPresentAndEqual(machine.Status.Conditions, conditionType, status)
	}
	heard := agent != nil && agent.Status.Phase == v1alpha1.PhaseCommitted && says(clusterv1.MachineNodeReadyCondition, metav1.ConditionTrue) &&
		says(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse)
	condemned := condemnedSince(machine)
	if !heard || !machine.Status.NodeRef.IsDefined() || !condemned.IsZero() && w.world.now.Sub(condemned) >= leastRequest {
		return nil
	}
	return w.hadTheRungsBelow(d, had, v1alpha1.RepairReplace, w.world.now)
}

// hadTheRungsBelow holds what is done at some time to what the machine was asked for last.
func (w *watch) hadTheRungsBelow(d deed, had *v1alpha1.RepairRequest, next v1alpha1.RepairRung, at time.Time) error {
	reached := -1
	if had != nil {
		reached = slices.Index(order, had.Rung)
		least := time.Duration(w.least(d.by, func(a asked) int { return int(ptr.Deref(timeoutOf(a.spec.Repair.Timeouts, next), 0)) })) * time.Second
		if at.Sub(had.RequestedAt.Time) < least {
			return fmt.Errorf("%s of Machine %s comes %s after %s", next, d.name(), at.Sub(had.RequestedAt.Time), had.Rung)
		}
	}
	for i, rung := range order[:slices.Index(order, next)] {
		if reached < i && w.always(d.by, func(a asked) bool { return slices.Contains(a.spec.Repair.Ladder, rung) }) {
			return fmt.Errorf("%s of Machine %s comes without %s, while its agent is heard", next, d.name(), rung)
		}
	}
	return nil
}

func timeoutOf(timeouts v1alpha1.RepairTimeouts, rung v1alpha1.RepairRung) *int32 {
	switch rung {
	case v1alpha1.RepairRestartComponent:
		return timeouts.RestartComponentSeconds
	case v1alpha1.RepairReboot:
		return timeouts.RebootSeconds
	default:
		return timeouts.ReplaceSeconds
	}
}
