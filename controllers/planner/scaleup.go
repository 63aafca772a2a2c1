package planner

import (
	"fmt"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// scaleUp is what the pool lacks.
type scaleUp struct {
	// creates are the machines to make.
	creates []Action
	// discards are the reserved ordinals to give up.
	discards []Action
	// taken are names that were passed over.
	taken []string
	// later is how many machines are lacking beyond those of the open reservation.
	later int
	// settles says that creates and discards are all that is left of the open reservation.
	settles bool
	// exhausted says that every name that could be reserved is taken.
	exhausted bool
}

// proposeScaleUp makes the machines that the pool lacks: those of the open reservation first, else new ones.
func proposeScaleUp(f *fleet) scaleUp {
	short := f.want() - len(f.active)
	if f.Pool.Status.Reserved != nil {
		return continueReservation(f, short)
	}
	return newMachines(f, short)
}

// continueReservation makes as many of the reserved machines as are lacking and gives up the others. When the template
// has changed since, or the reservation is an old one that somebody put back, all that were not made are given up.
func continueReservation(f *fleet, short int) scaleUp {
	up := scaleUp{settles: f.Live}
	if !f.Live {
		return up
	}
	if f.Revision == "" && short > 0 {
		up.settles = false // whether these are still wanted is known when the problem is over
		return up
	}
	wanted := short
	if f.Pool.Status.Reserved.Revision != f.Revision || f.setBack() {
		wanted = 0
	}
	for _, ordinal := range f.reservedOrdinals() {
		if f.byOrdinal[ordinal] != nil {
			continue
		}
		name := f.machineName(ordinal)
		if f.Nodes[name] != nil {
			up.taken = append(up.taken, name)
		} else if len(up.creates) < wanted && !f.gone[ordinal] {
			up.creates = append(up.creates, Action{Verb: Create, Name: name, Ordinal: ordinal, Reason: f.lacking()})
			continue
		}
		up.discards = append(up.discards, Action{Verb: Discard, Name: name, Ordinal: ordinal, Reason: "the machine is not wanted any more"})
	}
	up.later = max(0, short-len(up.creates))
	return up
}

// newMachines takes the next ordinals, without those whose names are taken.
func newMachines(f *fleet, short int) scaleUp {
	var up scaleUp
	if short <= 0 {
		return up
	}
	first, reason := f.nextOrdinal(), f.lacking()
	up.creates = make([]Action, 0, short)
	for ordinal := first; len(up.creates) < short; ordinal++ {
		name := f.machineName(ordinal)
		if f.Nodes[name] == nil {
			up.creates = append(up.creates, Action{Verb: Create, Name: name, Ordinal: ordinal, Reason: reason})
			continue
		}
		up.taken = append(up.taken, name)
		if len(up.taken) >= maxReserved-MaxBatch {
			up.exhausted = len(up.creates) == 0
			break
		}
	}
	return up
}

// reservation is the range of ordinals to write before new machines are made.
func (up scaleUp) reservation(f *fleet, admitted []Action) *v1alpha1.OrdinalRange {
	if f.Pool.Status.Reserved != nil || len(admitted) == 0 {
		return nil
	}
	first := f.nextOrdinal()
	count := admitted[len(admitted)-1].Ordinal - first + 1
	return &v1alpha1.OrdinalRange{First: &first, Count: int32(count), Revision: f.Revision} //nolint:gosec // at most maxReserved
}

// lacking says why a machine is made.
func (f *fleet) lacking() string {
	return fmt.Sprintf("the pool wants %d, and %d are there", f.want(), len(f.active))
}

func namesTaken(taken []string) Problem {
	return Problem{
		Reason: v1alpha1.ReasonNodeNameTaken,
		Message: fmt.Sprintf("%d Nodes have the names that machines of this pool would get, from %s on, and are not this pool's: delete them, "+
			"or make a pool of another name", len(taken), taken[0]),
		RetryAfter: retryTaken,
	}
}

// takenMessage is the note of the event about names that were passed over.
func takenMessage(taken []string) string {
	return fmt.Sprintf("Passed over %s: a Node of that name exists and is not this pool's. Delete the Node if nothing uses it; the pool goes on with the next name",
		strings.Join(sample(taken), ", "))
}
