package planner

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// retryTaken is how soon taken names are looked at again.
const retryTaken = 30 * time.Second

// Outcome is what became of a Result. The zero Outcome is that of a plan that was not applied.
type Outcome struct {
	// Created, Deleted, Updated and Treated are the actions that succeeded.
	Created, Deleted, Updated, Treated []Action
	// Failures are the Creates that the API server refused, in the order of the actions.
	Failures []Failure
	// Drains are the nodes that are drained before they are changed, and are not empty yet.
	Drains []Drain
	// Forced are those of the Updated whose nodes were not empty when their time to be drained was over.
	Forced []Drain
	// UpdateFailures are the Updates that the API server refused.
	UpdateFailures []Failure
	// ReservationFinished says that the reservation is over.
	ReservationFinished bool
}

// Failure is a refused Create.
type Failure struct {
	// Name is the machine's.
	Name string
	// Message says what was refused and why.
	Message string
	// Passing says that trying again may help.
	Passing bool
}

// Drain is a node that is drained.
type Drain struct {
	// Name is the machine's.
	Name string
	// Message says what is still there, in the words of Cluster API's drain.
	Message string
	// Until is when the machine is changed all the same; zero for never.
	Until time.Time
}

// Event is something a user should see happen.
type Event struct {
	// Type is corev1.EventTypeNormal or corev1.EventTypeWarning.
	Type string
	// Reason is stable and in CamelCase.
	Reason string
	// Action is what was done, in CamelCase.
	Action string
	// OfStatus says that it tells what is new in the pool's status: it is raised once that is written, for until then each
	// round finds it new. Without it, it tells of what was done, and is raised at once.
	OfStatus bool
	// Machine is the Machine it is about; empty for the pool as a whole.
	Machine string
	// MachineUID is that Machine's UID, where it is known.
	MachineUID types.UID
	// Note is the sentence.
	Note string
}

// Report derives the pool's status, and the events since the last one, from one round of observe, plan and apply.
func Report(s Snapshot, result Result, outcome Outcome) (v1alpha1.NodePoolStatus, []Event) {
	f := newFleet(s)
	status := *s.Pool.Status.DeepCopy()
	status.ObservedGeneration = s.Pool.Generation
	status.Revision = s.Revision
	status.Selector = v1alpha1.PoolUIDLabel + "=" + string(s.Pool.UID)
	if f.next > 0 || s.Pool.Status.NextOrdinal != nil {
		status.NextOrdinal = &f.next
	}
	status.Reserved = stillReserved(f, outcome)
	status.Updating = result.Updating
	status.Repair = repairStatus(f.repair, result)
	tally := count(f, outcome)
	status.Rollout = rolloutStatus(f.rollout, result, outcome, tally)
	tally.writeTo(&status, f)
	deferred := lasting(result, outcome)
	status.Disruption = budgetStatus(disruptionStatus(deferred), f, result, outcome)
	setConditions(&status, f, result, outcome, tally, blockedDrains(f, outcome))
	return status, append(events(s, result, outcome, status), deferralEvents(s.Pool.Status, status, deferred)...)
}

// tally is how many machines of which kind there are: all in total, and the rest without those that are being deleted.
type tally struct {
	want, total                       int
	active, ready, available, updated int
	// reached is how many run the rollout's target, which is not the template where that was given up.
	reached int
}

// count counts the machines of the snapshot as they are since it was applied.
func count(f *fleet, outcome Outcome) tally {
	t := tally{want: f.want(), total: len(f.Machines) + len(outcome.Created), active: len(outcome.Created)}
	deleted := make(map[string]bool, len(outcome.Deleted))
	for _, a := range outcome.Deleted {
		deleted[a.Name] = true
	}
	for _, m := range f.active {
		if deleted[m.Name] {
			continue
		}
		t.active++
		if m.ready {
			t.ready++
		}
		if m.available {
			t.available++
		}
		if m.runs(f.Revision) {
			t.updated++
		}
		if m.runs(f.rollout.target) {
			t.reached++
		}
	}
	return t
}

func (t tally) writeTo(status *v1alpha1.NodePoolStatus, f *fleet) {
	status.Replicas = int32Pointer(t.active)
	status.ReadyReplicas = int32Pointer(t.ready)
	status.AvailableReplicas = int32Pointer(t.available)
	status.UpdatedReplicas = nil // It is not known what the machines run, or what they are to.
	if f.Revision != "" && f.Agents != nil {
		status.UpdatedReplicas = int32Pointer(t.updated)
	}
	status.UnavailableReplicas = int32Pointer(max(0, t.want-t.available))
}

func int32Pointer(n int) *int32 {
	v := int32(n) //nolint:gosec // a pool has at most 10,000 machines
	return &v
}

// events are what happened and what became true.
func events(s Snapshot, result Result, outcome Outcome, status v1alpha1.NodePoolStatus) []Event {
	list := machineEvents(outcome.Created, v1alpha1.ReasonMachineCreated, "Create", "Created")
	list = append(list, machineEvents(outcome.Deleted, v1alpha1.ReasonMachineDeleted, "Delete", "Deleted")...)
	list = append(list, machineEvents(outcome.Updated, v1alpha1.ReasonMachineUpdated, "Update", "Changed")...)
	list = append(list, forcedEvents(outcome)...)
	list = append(list, treatmentEvents(outcome.Treated)...)
	if len(result.Taken) > 0 && (result.Reserve != nil || result.FinishReservation) {
		list = append(list, Event{Type: corev1.EventTypeWarning, Reason: v1alpha1.ReasonNodeNameTaken, Action: "Create", OfStatus: true, Note: takenMessage(result.Taken)})
	}
	for _, conditionType := range []string{v1alpha1.StalledCondition, v1alpha1.DrainBlockedCondition, v1alpha1.RepairFrozenCondition} {
		e, news := becameTrue(s.Pool.Status.Conditions, status.Conditions, conditionType)
		if news && !isHalted(e.Reason) {
			list = append(list, e)
		}
	}
	return append(list, refreshEvents(s.Pool.Status.Conditions, status.Conditions)...)
}
