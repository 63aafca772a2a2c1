// Package planner decides what happens to the machines of a NodePool. It is pure: no client, no clock, no log.
//
// The caller takes a [Snapshot] of everything the decision depends on and calls [Plan]. The proposers (listed in proposal.go, one
// file each) say what they would do, each for itself: a [Proposal] is an [Action] with a reason, whether it disrupts a node, and how
// urgent it is. One ledger (ledger.go) goes through all of them, the most urgent first, does one thing to a machine at a time,
// and admits or defers the rest and keeps why. After the caller has applied the [Result], [Report] derives the pool's status
// and events from the same snapshot, result and [Outcome], so that what was done and what is said about it cannot differ.
//
// # Ordinals
//
// Scale-up says how many machines are lacking. Which numbers they get, and what becomes of numbers that are not used, is for the
// reservation (reservation.go). The number in a machine's name is never used twice, because it is also the name of a Node. Machines are made in four
// steps, and a crash after each of them is harmless:
//
//  1. the next ordinal is recorded in an annotation of the pool, and then status.nextOrdinal and status.reserved are
//     written, both with an optimistic lock;
//  2. the infrastructure machine and the Machine of each reserved ordinal are created;
//  3. status.reserved is narrowed from both ends by those whose Machine was created or is known to exist, until it is gone;
//     of those in between it lists the ones whose Machine is being deleted meanwhile;
//  4. from then on, a Machine that is being deleted may lose its [v1alpha1.OrdinalFinalizer].
//
// Step 1 rests on a live read of the pool, and of its Machines after it: all machines of earlier reservations are then
// seen, and the lock fails if there is a later one. So neither an old cache nor two leaders make two machines for one
// need.
//
// The annotation is there because a status can be lost or set back, by an edit or a restore, which leaves the metadata
// alone. The greater of the two counts, so ordinals of a reservation that got lost are never used. A status that is behind
// the annotation is an old one: its reservation is given up. Names of machines that others know to be gone count as well,
// for a reservation that was over and is as new as the annotation, and for when both are set back.
//
// A reservation that is still there is continued from a live read. An ordinal without a Machine was then certainly
// never used, unless status.reserved lists it: had its Machine been made and deleted since, the finalizer would still hold it,
// because step 4 comes after step 3. Ordinals of a reservation that are no longer wanted are given up, never to be used.
//
// # Changes in place
//
// When the template is another one, the machines there are get its revision, the target, as many nodes at a time as may be unavailable,
// by default one (unavailable.go counts them; canary.go has some go first; rollback.go makes the target the revision before, where one
// went back and the pool says so; rollout.go sorts
// them, update.go proposes, and the ledger lets them begin). A change is made in two steps:
//
//  1. the machine is named in status.updating, with an optimistic lock on the pool;
//  2. its NodeAgent is written, with an optimistic lock on that, after a drain where pods would not survive.
//
// It leaves status.updating when it runs what it was told to and is well. Both steps rest on a [Snapshot] that is Confirmed:
// the pool was read from the API server, and then the NodeAgents, and after these the Machines, of all that its status names and of
// those that would be next. A change of no other machine begins.
// So what another manager has begun is seen, or the lock fails. Where a status was lost in the meantime, the NodeAgent itself
// shows that its machine has not answered yet, and a Node that it was cordoned. Only a manager that lost its lease between the two steps, or
// wrote the second so lately that the cache of its successor does not show it, with the status lost besides, could change a second one.
//
// # One machine in the place of another
//
// Machines that no change in place brings to the target give way to others that are made from it (replace.go), all of them where the
// pool says so. Nothing is remembered about it: which machines are to go, which are to stay and are not well yet, and how many there are
// beyond those that the pool wants, all of which a Live snapshot shows, say how many more are made, and how many go. So there is nothing
// that a crash or a lost status could leave half done, and the reservation is what keeps two managers from making two.
//
// # Cached and live snapshots
//
// Each plan is made from what a cache has first. Where it would do something that must not rest on that, the [Result] says what has
// to be read from the API server: the pool with all its Machines (Live), or with the machines that are changed (Confirm). Then it is
// made again. What waits for that read alone counts as begun, so that both plans are about the same machines; where they are not,
// nothing is done to those that were not read.
package planner
