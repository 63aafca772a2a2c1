package sim

// invariants are all that must hold. Each is in a file of its own, named as it is.
var invariants = []*invariant{
	// At each write.
	maxUnavailable,
	noSecondMachine,
	nameOnce,
	noneForADeletedPool,
	pausedChangesNothing,
	oneForABadRevision,
	canaryFirst,
	readyForLong,
	onlyTheTemplateRolls,
	agentWithItsRevision,
	noneWithoutNeed,
	replacementFirst,
	drainedFirst,
	drainEnds,
	revisionKept,
	stopHolds,
	withinBudgets,
	stalledForLong,
	leftAlone,
	repairedWhenUnhealthy,
	noneRepairedInAPartition,
	oneRepairAtATime,
	rungsInOrder,
	// Once all faults are over, in this order.
	expiredAreGone,
	becomesItsSpec,
	deletedAsAsked,
	nothingLeft,
	statusSaysSo,
	requestsAnswered,
	historyBounded,
}

// invariant is something that must hold. It knows what it needs from the API server's changes and from the machines themselves, and
// from nothing that a manager thinks.
type invariant struct {
	name string
	// watches begins to watch a day. The function is asked about each write as it is made, and answers what is wrong with it.
	watches func(*watch) func(deed) error
	// settles says what is wrong with the pool when all faults have been over for Bound.
	settles func(*world) error
}

// verb is what a write does to a machine.
type verb int

const (
	does      verb = iota // something else
	makes                 // makes its Machine
	deletes               // asks for its Machine's deletion
	tells                 // tells its agent to run another revision
	cordons               // cordons its Node
	uncordons             // has its Node take pods again
)

func (v verb) String() string {
	return [...]string{"written", "made", "deleted", "told to run another revision", "cordoned", "uncordoned"}[v]
}

// deed is a write that was made, and what it is to the machine of its object's name.
type deed struct {
	change
	verb
	// by is the manager that made it; nil for anybody else.
	by *manager
	// worked says that the machine's node serves, so that it may have pods: something proved itself on it.
	worked bool
	// begins says that a node which worked, and was left alone, is disrupted from now on.
	begins bool
}

// disrupts says that a manager does something that the pods of a node may notice.
func (d deed) disrupts() bool {
	return d.by != nil && d.worked && (d.verb == deletes || d.verb == tells || d.verb == cordons)
}
