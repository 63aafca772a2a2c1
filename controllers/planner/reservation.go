package planner

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// reservation is the run of ordinals that machines are made with: the one that is open, or else the next. Scale-up says how many
// machines are made, and the ledger whether they may be; which ordinals they get is decided here.
type reservation struct {
	*fleet
	// revision is what machines are made from.
	revision string
	// free are the ordinals to give to the machines that are made, in this order; as many as are lacking, or as there are.
	free []int64
	// lost are the ordinals of the open reservation that are given up.
	lost []int64
	// taken are the names that were passed over, as Nodes have them.
	taken []string
}

func newReservation(f *fleet) *reservation {
	r := &reservation{fleet: f, revision: f.rollout.madeFrom()}
	if lacking := max(0, f.want()-len(f.active)) + len(f.replacement.uncovered()); r.isOpen() {
		r.goOn(lacking)
	} else {
		r.begin(min(lacking, MaxBatch))
	}
	return r
}

func (r *reservation) isOpen() bool { return r.Pool.Status.Reserved != nil }

// begin takes the next ordinals, without those whose names are taken.
func (r *reservation) begin(lacking int) {
	for ordinal := r.next; len(r.free) < lacking && len(r.taken) < maxReserved-MaxBatch; ordinal++ {
		if name := r.machineName(ordinal); r.Nodes[name] != nil {
			r.taken = append(r.taken, name)
			continue
		}
		r.free = append(r.free, ordinal)
	}
}

// goOn gives as many of the reserved ordinals as machines are lacking, and the others up. When machines are made from another
// revision since, or the reservation is an old one that somebody put back, it gives up all without a machine. While the revision
// is not known it keeps them.
func (r *reservation) goOn(lacking int) {
	wanted, unknown := lacking, r.Revision == "" && lacking > 0
	if !unknown && (r.Pool.Status.Reserved.Revision != r.revision || r.setBack()) {
		wanted = 0
	}
	for _, ordinal := range r.reservedOrdinals() {
		name := r.machineName(ordinal)
		switch {
		case r.byOrdinal[ordinal] != nil || r.released(ordinal):
		case unknown:
			r.free = append(r.free, ordinal)
		case r.Nodes[name] != nil:
			r.taken, r.lost = append(r.taken, name), append(r.lost, ordinal)
		case len(r.free) < wanted && !r.gone[ordinal]:
			r.free = append(r.free, ordinal)
		default:
			r.lost = append(r.lost, ordinal)
		}
	}
}

// exhausted says that every name that could be reserved is taken.
func (r *reservation) exhausted() bool {
	return !r.isOpen() && len(r.free) == 0 && len(r.taken) > 0
}

// proposeDiscard gives up the reserved ordinals that no machine is made with any more.
func proposeDiscard(f *fleet) []Proposal {
	proposals := make([]Proposal, 0, len(f.reservation.lost))
	for _, ordinal := range f.reservation.lost {
		proposals = append(proposals, Proposal{Urgency: urgencyLacking, Action: Action{
			Verb: Discard, Cause: ScaleUp, Name: f.machineName(ordinal), Ordinal: ordinal, Reason: "the machine is not wanted any more",
		}})
	}
	return proposals
}

// unnamed keeps machines from being made that there is no ordinal for.
func unnamed(l *ledger, p *Proposal) (string, string) {
	switch r := l.reservation; {
	case p.Verb != Create || l.admitted[Create] < len(r.free):
		return "", ""
	case r.exhausted():
		return DeferredStalled, r.namesTaken().Message
	default:
		return DeferredReservation, "the machines of an earlier reservation are made first"
	}
}

// settle gives the machines that are made their names, and says what becomes of the reservation.
func (r *reservation) settle(result *Result) {
	given, discarded := r.name(result.Actions)
	result.Taken = r.taken
	if r.exhausted() {
		result.Problems = append(result.Problems[:len(result.Problems):len(result.Problems)], r.namesTaken())
	}
	switch {
	case r.isOpen():
		result.FinishReservation = r.Live && given == len(r.free) && discarded == len(r.lost)
	case given > 0:
		last := r.free[given-1]
		result.Reserve = &v1alpha1.OrdinalRange{First: &r.next, Count: int32(last - r.next + 1), Revision: r.revision} //nolint:gosec // at most maxReserved
		result.NextOrdinal = last + 1
		result.FinishReservation = true
	}
}

// name gives each machine that is made an ordinal. It returns how many were given, and how many are given up.
func (r *reservation) name(actions []Action) (given, discarded int) {
	for i := range actions {
		switch a := &actions[i]; a.Verb {
		case Create:
			a.Ordinal = r.free[given]
			a.Name = r.machineName(a.Ordinal)
			given++
		case Discard:
			discarded++
		}
	}
	return given, discarded
}

func (r *reservation) namesTaken() Problem {
	return Problem{
		Reason: v1alpha1.ReasonNodeNameTaken,
		Message: fmt.Sprintf("%d Nodes have the names that machines of this pool would get, from %s on, and are not this pool's: delete them, "+
			"or make a pool of another name", len(r.taken), r.taken[0]),
		RetryAfter: retryTaken,
	}
}

// takenMessage is the note of the event about names that were passed over.
func takenMessage(taken []string) string {
	return fmt.Sprintf("Passed over %s: a Node of that name exists and is not this pool's. Delete the Node if nothing uses it; the pool goes on with the next name",
		strings.Join(sample(taken), ", "))
}

// stillReserved is what is left of the open reservation: nil when it is over. While some of its machines cannot be made,
// those at its ends that were made leave it, and of those in between the ones that are being deleted are listed. So a Machine
// that is deleted meanwhile is let go, which may be what the others wait for: it counts against a quota.
func stillReserved(f *fleet, outcome Outcome) *v1alpha1.OrdinalRange {
	reserved := f.Pool.Status.Reserved
	if outcome.ReservationFinished || reserved == nil || reserved.First == nil {
		return nil
	}
	left := reserved.DeepCopy()
	if !f.Live {
		return left
	}
	used := usedOrdinals(f, outcome)
	for left.Count > 0 && used[*left.First] {
		*left.First++
		left.Count--
	}
	for left.Count > 0 && used[*left.First+int64(left.Count)-1] {
		left.Count--
	}
	if left.Count == 0 {
		return nil
	}
	left.Released = nil
	for i := range int64(left.Count) {
		if ordinal := *left.First + i; f.released(ordinal) || f.byOrdinal[ordinal] != nil && !f.byOrdinal[ordinal].DeletionTimestamp.IsZero() {
			left.Released = append(left.Released, ordinal)
		}
	}
	return left
}

// getsOn says that a snapshot like this one, but Live, would leave less of the open reservation, or end it.
func (r *reservation) getsOn() bool {
	if !r.isOpen() {
		return false
	}
	live := *r.fleet
	live.Live = true
	left := stillReserved(&live, Outcome{ReservationFinished: len(r.free)+len(r.lost) == 0})
	return !equality.Semantic.DeepEqual(left, r.Pool.Status.Reserved)
}

// usedOrdinals are those that a Machine has or had.
func usedOrdinals(f *fleet, outcome Outcome) map[int64]bool {
	used := make(map[int64]bool, len(f.byOrdinal)+len(outcome.Created))
	for ordinal := range f.byOrdinal {
		used[ordinal] = true
	}
	for _, action := range outcome.Created {
		used[action.Ordinal] = true
	}
	for _, ordinal := range f.Pool.Status.Reserved.Released {
		used[ordinal] = true
	}
	return used
}
