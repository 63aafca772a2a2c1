package planner

import "github.com/drover-dev/drover/api/disruption"

// Proposal is an Action that a proposer would take. Whether it is taken is for the ledger to say.
type Proposal struct {
	// Action is what would be done. A Create has neither name nor ordinal yet: the reservation gives these to the machines
	// that are made.
	Action
	// Disrupts says that pods may be on the machine, which have to go or to wait for it.
	Disrupts bool
	// Urgency says which proposals come first.
	Urgency Urgency
}

// Cause is what makes a change necessary.
type Cause string

const (
	// ScaleUp is that the pool has fewer machines than it wants.
	ScaleUp Cause = "ScaleUp"
	// ScaleDown is that it has more.
	ScaleDown Cause = "ScaleDown"
	// PoolDeletion is that the pool goes, and its machines with it.
	PoolDeletion Cause = "PoolDeletion"
	// MachineDeletion is that a Machine is being deleted, by whomever.
	MachineDeletion Cause = "MachineDeletion"
	// Repair is that a machine is unhealthy.
	Repair Cause = "Repair"
	// Rollout is that the pool's template is another one.
	Rollout Cause = "Rollout"
	// Expiry is that a machine is as old as its pool lets it become.
	Expiry Cause = "Expiry"
	// Refresh is that somebody wants machines replaced that were made before a time.
	Refresh Cause = "Refresh"
)

// replaces says that a machine is made, or goes, as one takes the place of another.
func (p *Proposal) replaces() bool {
	return p.Class == disruption.Replace && (p.Verb == Create || p.Verb == Delete)
}

// needsConfirmation says that a proposal rests on what the API server says of that machine, its NodeAgent and the pool.
func (p *Proposal) needsConfirmation() bool {
	return p.Verb == Update || p.Verb == Uncordon || p.Cause == Repair || p.Verb == Delete && p.replaces()
}

// needsLive says that it rests on how many machines there are.
func (p *Proposal) needsLive() bool {
	return p.Verb.needsLive()
}

func (v Verb) needsLive() bool { return v == Create || v == Discard || v == Delete }

// Urgency orders proposals: the lower goes first. Of several about one machine the first that is admitted is taken.
type Urgency int

const (
	// urgencyLacking is for machines that are not there: pods may wait for them.
	urgencyLacking Urgency = iota
	// urgencySurplus is for machines that go. Those are not changed any more.
	urgencySurplus
	// urgencyRepair is for machines that are of no use as they are. Those are not changed any more either, if they go.
	urgencyRepair
	// urgencyOver is for what is left to do after a change.
	urgencyOver
	// urgencyChange is for machines that do what they are for while they wait.
	urgencyChange
	// urgencyRenewal is for machines that run what they are to, and go for another of the same.
	urgencyRenewal
)

// proposer says what it would do about a pool and why. It does not ask whether it may, nor what others would do.
type proposer func(*fleet) []Proposal

// proposers are all that want to change a pool's machines.
var proposers = []proposer{proposeScaleUp, proposeDiscard, proposeScaleDown, proposeRepair, proposeRelease, proposeUncordon, proposeReplace, proposeUpdate}

// propose is what all of them would do.
func propose(f *fleet) []Proposal {
	var proposals []Proposal
	for _, propose := range proposers {
		proposals = append(proposals, propose(f)...)
	}
	return proposals
}
