package planner

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Verb is what an Action does.
type Verb string

const (
	// Create makes an infrastructure machine and its Machine.
	Create Verb = "Create"
	// Delete deletes a Machine, which Cluster API then drains.
	Delete Verb = "Delete"
	// Release takes the ordinal's finalizer from a Machine that is being deleted.
	Release Verb = "Release"
	// Discard deletes the infrastructure machine of an ordinal that is given up, if it was made.
	Discard Verb = "Discard"
	// Update has a machine's agent run another revision, in place.
	Update Verb = "Update"
	// Uncordon lets pods onto a node again that was drained for an Update.
	Uncordon Verb = "Uncordon"
	// Treat asks a machine's agent for a rung of its repair.
	Treat Verb = "Treat"
)

// Action is one change to one machine. It is safe to repeat.
type Action struct {
	// Verb says what is done.
	Verb Verb
	// Name is the machine's name.
	Name string
	// Ordinal is the number in that name; for Create and Discard.
	Ordinal int64
	// UID is the Machine's UID; for Delete, Release, Update and Treat.
	UID types.UID
	// Revision is what the machine is to run, for Update, or is made from, for Create.
	Revision string
	// Class is what that does to its pods; for Update. Replace, for Create and Delete: the one takes the place of another, which the other
	// does.
	Class disruption.Class
	// Rung is what is done about a machine that is unhealthy; for Treat, and for the Delete of a Repair.
	Rung v1alpha1.RepairRung
	// Cause is what makes it necessary.
	Cause Cause
	// Reason says why this, and why this machine, in the words of an event.
	Reason string
}

// Result is what to do.
type Result struct {
	// Reserve, if set, is written to the status, together with NextOrdinal, before the first Create.
	Reserve *v1alpha1.OrdinalRange
	// NextOrdinal is the status' nextOrdinal.
	NextOrdinal int64
	// Record says that NextOrdinal is written to the pool's annotation before anything else is done.
	Record bool
	// Actions were admitted. They are taken in this order, those of one verb at the same time.
	Actions []Action
	// Deferred are the others.
	Deferred []Deferral
	// FinishReservation says that the reservation is over once every Create and Discard succeeded.
	FinishReservation bool
	// Taken are the machine names that were passed over because Nodes have them.
	Taken []string
	// Updating is the status' updating. It is written before the first Update, and lets go of no machine unless the snapshot was
	// confirmed.
	Updating []string
	// Progressed says that by Updating the change of a machine begins or is over.
	Progressed bool
	// Repair is the status' current repair. It is written before the Delete, or the Treat, that it is about; nil for no such.
	Repair *v1alpha1.MachineRepair
	// Answers are for those who ask to have machines remediated. That of a machine that is deleted is written before it is.
	Answers []Answer
	// Confirm are the machines that a confirmed snapshot has to be Sure of. With it there is something to do: a change to begin, or
	// one that is over. Empty: there is not, or the snapshot was that.
	Confirm []string
	// Live says that there is something to do that only a Live snapshot lets happen.
	Live bool
	// Problems are the snapshot's and the planner's own.
	Problems []Problem
	// PruneRevisions are stored revisions that nothing uses any more, and that the pool's history has no room for.
	PruneRevisions []string
	// Finalize says that nothing is left of a pool being deleted: collect what never became a Machine and let it go.
	Finalize bool
	// RequeueAfter is when to plan again although no event says so. Zero: never.
	RequeueAfter time.Duration
}

// AnswerOf is the answer about a machine; nil for none.
func (r Result) AnswerOf(name string) *Answer {
	for i := range r.Answers {
		if r.Answers[i].Name == name {
			return &r.Answers[i]
		}
	}
	return nil
}

// Of are the actions with one verb.
func (r Result) Of(verb Verb) []Action {
	var actions []Action
	for _, action := range r.Actions {
		if action.Verb == verb {
			actions = append(actions, action)
		}
	}
	return actions
}
