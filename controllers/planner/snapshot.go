package planner

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner/budget"
)

// Snapshot is everything one decision about one pool depends on. Nobody changes it or what it points to.
type Snapshot struct {
	// Now is when it was taken.
	Now time.Time
	// Pool is the pool, with the status the next write of it is based on.
	Pool *v1alpha1.NodePool
	// Machines are all Machines with the pool's UID in their label, those being deleted included.
	Machines []*clusterv1.Machine
	// Nodes are the Nodes, by name, whose names begin as those of the pool's machines do.
	Nodes map[string]*corev1.Node
	// Agents are the NodeAgents of the pool's machines, by name.
	Agents map[string]*v1alpha1.NodeAgent
	// Contents are what the pool's revisions stand for, that of the present template included, as far as they are known.
	Contents map[string]Content
	// Cordoned are the Nodes of the pool that Drover cordoned in order to change them, by name.
	Cordoned map[string]bool
	// Confirmed says that Pool was read from the API server, and after it those of Agents, and then of Machines, that are being
	// changed or would be next. Without it no change of a node begins and none is over.
	Confirmed bool
	// Sure are the machines of a Confirmed snapshot whose NodeAgent, Machine and Node were read from the API server: no change of
	// another one begins. Nil: all of them.
	Sure map[string]bool
	// Gone are names of machines that are gone, as far as that is known, whosever these were. Names of machines that are in
	// Machines do not count.
	Gone []string
	// Live says that Pool, and Machines after it, were read from the API server, not from a cache. Without it the
	// number of machines is not changed.
	Live bool
	// CacheBehind names a write of ours that Machines does not show yet; empty when there is none.
	CacheBehind string
	// Revision is the revision of the pool's present template; empty when a problem keeps it from being known.
	Revision string
	// StoredRevisions are the revisions that ControllerRevisions exist for, the oldest first.
	StoredRevisions []string
	// Problems are what was found wrong, the gravest first.
	Problems []Problem
	// Stopped is what stops the fleet, as the end of a sentence: no node is disrupted meanwhile. Empty: nothing does.
	Stopped string
	// ListeningSince is since when the manager that leads can hear of the pool's machines without having been away: what they were
	// before is no evidence of what they are. Zero: it does not matter.
	ListeningSince time.Time
	// Refused is what the API server refused lately and it is too early to try again; nil when there is nothing.
	Refused *Refusal
}

// Refusal is a Create that the API server refused for good, as far as one can tell.
type Refusal struct {
	// Name is the machine's.
	Name string
	// Message says what was refused and why.
	Message string
	// Until is when to try again.
	Until time.Time
}

// Problem is something that keeps a pool from making machines.
type Problem struct {
	// Reason is a reason of the NodePool's conditions.
	Reason string
	// Message says what is wrong and what to do about it.
	Message string
	// Passing says that it goes away without a user's help.
	Passing bool
	// RetryAfter is when to look again, for a problem whose end is not watched. Zero: it is watched.
	RetryAfter time.Duration
}

// fleet is a snapshot, taken apart.
type fleet struct {
	Snapshot
	prefix string
	// active are the machines that stay, by ordinal; leaving those that are being deleted, by name.
	active, leaving []*machine
	byOrdinal       map[int64]*clusterv1.Machine
	// next is the first ordinal that was never reserved.
	next int64
	// gone are the ordinals that machines of this pool had which are gone.
	gone map[int64]bool
	// budgets are the pool's disruption budgets, and badBudgets what is wrong with them.
	budgets    budget.Budgets
	badBudgets []string
	// refreshAt is the time of the pool's refresh; zero for none.
	refreshAt time.Time
	// rollout is where the machines are on the way to the template's revision.
	rollout *rollout
	// repair is what is seen of the machines' health.
	repair *repair
	// replacement is how far machines are that give way to others.
	replacement *replacement
	// reservation has the ordinals for machines that are made.
	reservation *reservation
}

func newFleet(s Snapshot) *fleet {
	f := takeApart(s)
	f.budgets, f.badBudgets = budget.Understand(s.Pool.Spec.Disruption.Budgets)
	f.refreshAt, _ = refreshAt(s.Pool)
	f.rollout = newRollout(f)
	f.replacement = newReplacement(f)
	f.repair = newRepair(f)
	f.reservation = newReservation(f)
	return f
}

// takeApart is without what only plans and reports need.
func takeApart(s Snapshot) *fleet {
	f := &fleet{Snapshot: s, prefix: v1alpha1.MachineNamePrefix(s.Pool), byOrdinal: make(map[int64]*clusterv1.Machine, len(s.Machines))}
	f.takeMachines()
	f.gone = map[int64]bool{}
	for _, name := range s.Gone {
		if ordinal, ok := f.ordinal(name); ok && ordinal < maxOrdinal && f.byOrdinal[ordinal] == nil {
			f.gone[ordinal] = true
		}
	}
	f.next = f.nextOrdinal()
	return f
}

// want is how many machines the pool is to have.
func (f *fleet) want() int {
	if f.deleting() {
		return 0
	}
	return int(wantedReplicas(f.Pool))
}

func wantedReplicas(pool *v1alpha1.NodePool) int32 {
	if pool.Spec.Replicas == nil {
		return 1
	}
	return *pool.Spec.Replicas
}

func (f *fleet) deleting() bool { return !f.Pool.DeletionTimestamp.IsZero() }

// isConfirmed says that a machine, and the pool before it, was read from the API server.
func (f *fleet) isConfirmed(name string) bool { return f.Confirmed && (f.Sure == nil || f.Sure[name]) }

func (f *fleet) paused() bool { return f.Pool.Spec.Paused != nil && *f.Pool.Spec.Paused }

func (f *fleet) machineName(ordinal int64) string { return f.prefix + strconv.FormatInt(ordinal, 10) }

// ordinal is the number in the name of a machine of this pool. Its label could have been edited.
func (f *fleet) ordinal(name string) (int64, bool) {
	digits, ours := strings.CutPrefix(name, f.prefix)
	if !ours {
		return 0, false
	}
	ordinal, err := strconv.ParseInt(digits, 10, 64)
	return ordinal, err == nil && ordinal >= 0
}

// nextOrdinal is the first ordinal that was never reserved. The status may be lost or set back; then the record beside
// it tells. Should both be, it is beyond every machine that exists or is known to be gone.
func (f *fleet) nextOrdinal() int64 {
	next := recordedOrdinal(f.Pool)
	if f.Pool.Status.NextOrdinal != nil {
		next = max(next, *f.Pool.Status.NextOrdinal)
	}
	for ordinal := range f.byOrdinal {
		next = max(next, ordinal+1)
	}
	for ordinal := range f.gone {
		next = max(next, ordinal+1)
	}
	return next
}

// recordedOrdinal is what the pool's annotation says. What cannot be a nextOrdinal says nothing.
func recordedOrdinal(pool *v1alpha1.NodePool) int64 {
	next, err := strconv.ParseInt(pool.Annotations[v1alpha1.NextOrdinalAnnotation], 10, 64)
	if err != nil || next < 0 || next > maxOrdinal {
		return 0
	}
	return next
}

// OrdinalUnrecorded says that a pool's annotation is behind its status.
func OrdinalUnrecorded(pool *v1alpha1.NodePool) bool {
	return pool.Status.NextOrdinal != nil && recordedOrdinal(pool) < *pool.Status.NextOrdinal
}

// setBack says that the status, and so its reservation, is an old one that somebody put back: the record, which is written
// before each reservation, is ahead of it.
func (f *fleet) setBack() bool {
	next := f.Pool.Status.NextOrdinal
	return next == nil || *next < recordedOrdinal(f.Pool)
}

// reservedOrdinals are the ordinals of the reservation that is open.
func (f *fleet) reservedOrdinals() []int64 {
	reserved := f.Pool.Status.Reserved
	if reserved == nil || reserved.First == nil {
		return nil
	}
	ordinals := make([]int64, 0, reserved.Count)
	for i := range int64(reserved.Count) {
		ordinals = append(ordinals, *reserved.First+i)
	}
	return ordinals
}

// settled says that an ordinal was reserved and its reservation is over, or does without it. An old status never says so too early: it
// has the ordinal ahead of it, or in its reservation.
func (f *fleet) settled(ordinal int64) bool {
	status := f.Pool.Status
	if status.NextOrdinal == nil || ordinal >= *status.NextOrdinal {
		return false
	}
	reserved := status.Reserved
	return reserved == nil || reserved.First == nil || ordinal < *reserved.First || ordinal >= *reserved.First+int64(reserved.Count) || f.released(ordinal)
}

// released says that an ordinal of the open reservation had a Machine that was deleted since.
func (f *fleet) released(ordinal int64) bool {
	reserved := f.Pool.Status.Reserved
	return reserved != nil && slices.Contains(reserved.Released, ordinal)
}
