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
	// Created and Deleted are the actions that succeeded.
	Created, Deleted []Action
	// Failures are the Creates that the API server refused, in the order of the actions.
	Failures []Failure
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

// Event is something a user should see happen.
type Event struct {
	// Type is corev1.EventTypeNormal or corev1.EventTypeWarning.
	Type string
	// Reason is stable and in CamelCase.
	Reason string
	// Action is what was done, in CamelCase.
	Action string
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
	if next := f.nextOrdinal(); next > 0 || s.Pool.Status.NextOrdinal != nil {
		status.NextOrdinal = &next
	}
	status.Reserved = stillReserved(f, outcome)
	tally := count(f, outcome)
	tally.writeTo(&status)
	drains := blockedDrains(f)
	setConditions(&status, f, result, outcome, tally, drains)
	return status, events(s, result, outcome, status)
}

// tally is how many machines of which kind there are.
type tally struct {
	want, total, active, ready, available int
	updated                               *int32
}

// count counts the machines of the snapshot and those that were made since.
func count(f *fleet, outcome Outcome) tally {
	t := tally{want: f.want(), total: len(f.Machines) + len(outcome.Created), active: len(f.active) + len(outcome.Created) - len(outcome.Deleted)}
	updated := len(outcome.Created)
	for _, m := range f.Machines {
		if isReady(m) {
			t.ready++
		}
		if isAvailable(m) {
			t.available++
		}
		if !f.outdated(m) {
			updated++
		}
	}
	if f.Revision != "" {
		t.updated = int32Pointer(updated)
	}
	return t
}

func (t tally) writeTo(status *v1alpha1.NodePoolStatus) {
	status.Replicas = int32Pointer(t.total)
	status.ReadyReplicas = int32Pointer(t.ready)
	status.AvailableReplicas = int32Pointer(t.available)
	status.UpdatedReplicas = t.updated
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
	if len(result.Taken) > 0 && (result.Reserve != nil || result.FinishReservation) {
		list = append(list, Event{Type: corev1.EventTypeWarning, Reason: v1alpha1.ReasonNodeNameTaken, Action: "Create", Note: takenMessage(result.Taken)})
	}
	for _, conditionType := range []string{v1alpha1.StalledCondition, v1alpha1.DrainBlockedCondition} {
		if e, news := becameTrue(s.Pool.Status.Conditions, status.Conditions, conditionType); news {
			list = append(list, e)
		}
	}
	return list
}
