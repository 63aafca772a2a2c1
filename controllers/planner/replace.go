package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/disruption"
)

// replacement is how far the machines are that give way to others. It is read off the machines that are there, so that there is nothing
// to remember, and nothing that could get lost: those that stay and are not well yet are made in the place of others, and as many of
// these go as there are machines beyond those that the pool wants.
type replacement struct {
	*rollout
	// surge is how many machines there may be beyond those that the pool wants. With 0 a machine goes before another is made.
	surge int
	// extra is how many of these are no surplus at present.
	extra int
	// surplus are the machines that the pool has too many of, in the order in which they go.
	surplus []victim
	// due are the machines that are to be replaced and have a node, in the order in which they go. unborn are those that have none.
	due, unborn []*machine
	// later are those that give way only once the rollout is over. Until then they are as good as any.
	later []*machine
	// pending are those that are to stay and that others wait for.
	pending []*machine
	// spare is how many machines there are beyond those that the pool wants, without the surplus and the unborn. Where some are lacking
	// it is negative.
	spare int
	// going are the nodes that are being deleted, by anybody.
	going []string
}

func newReplacement(f *fleet) *replacement {
	r := &replacement{rollout: f.rollout, surge: maxSurge(f.Pool)}
	if f.want() > 0 {
		r.extra = min(r.surge, len(r.replaced)+r.unheard+r.renewals())
	}
	if surplus := len(f.active) - f.want() - r.extra; surplus > 0 {
		r.surplus = victims(f)[:surplus]
	}
	next := slices.Concat(r.replaced, r.renewed)
	if r.goesOn() {
		next, r.later = r.replaced, r.renewed
	}
	if len(next) == 0 {
		return r
	}
	goes := make(map[string]bool, len(r.surplus)+len(next))
	for _, v := range r.surplus {
		goes[v.Name] = true
	}
	for _, m := range next {
		switch {
		case goes[m.Name]:
		case m.joined():
			r.due = append(r.due, m)
		default:
			r.unborn = append(r.unborn, m)
		}
		goes[m.Name] = true
	}
	for _, m := range r.unreachable { // Nobody waits for one that is to be replaced itself.
		goes[m.Name] = goes[m.Name] || r.isReplaced(m)
	}
	slices.SortStableFunc(r.due, r.goesBefore)
	open := make(map[string]bool, len(r.open))
	for _, m := range r.open {
		open[m.Name] = true
	}
	for _, m := range f.active {
		if !goes[m.Name] && (open[m.Name] || r.isAwaited(m)) {
			r.pending = append(r.pending, m)
		}
	}
	r.spare = len(f.active) - len(r.surplus) - len(r.unborn) - f.want()
	for _, m := range f.leaving {
		if m.joined() {
			r.going = append(r.going, m.Name)
		}
	}
	return r
}

// isReplaced says that a machine which is to run the target gives way to another one for it.
func (r *rollout) isReplaced(m *machine) bool {
	return r.isFixed(m) || replacesAll(r.Pool) && m.joined()
}

// isReplacing says that machines are to be replaced, or have been and are on their way out.
func (r *rollout) isReplacing() bool {
	return len(r.replaced) > 0 || slices.ContainsFunc(r.leaving, r.needsAnother)
}

// needsAnother says that a machine is not what the template asks for, and is not changed to be.
func (r *rollout) needsAnother(m *machine) bool {
	return r.outdated(m) && (r.isMadeElsewhere(m) || replacesAll(r.Pool))
}

// isAwaited says that machines which are to be replaced wait for one that stays: as it was made in the place of one of them, or is
// changed, or is to be. One that is not well for whatever reason takes nobody's place.
func (r *rollout) isAwaited(m *machine) bool {
	return m.begun && !r.isOver(m) || !r.isSteady(m)
}

// goesBefore orders machines that are to be replaced: those that are not well, which nobody misses, those of another template, those that
// somebody has annotated to go first, and the oldest.
func (r *rollout) goesBefore(a, b *machine) int {
	rank := func(m *machine) int {
		rank := 0
		for _, waits := range []bool{m.well(), !r.wants(m), m.firstToGo()&claimAnnotated == 0} {
			rank *= 2
			if waits {
				rank++
			}
		}
		return rank
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
}

// uncovered are those that another machine is made for now. As many as may be replaced at a time are: one counts from when another is
// made for it until it is gone.
func (r *replacement) uncovered() []*machine {
	spare, room := max(r.spare, 0), r.want()+r.surge-max(len(r.active), r.want())
	if n := min(len(r.due)-spare, r.surge-spare-len(r.going), room); n > 0 {
		return r.due[spare : spare+n]
	}
	return nil
}

// mayGo is how many of those that are due may go now: each for one that is there beyond those that the pool wants, and well. Without a
// surge, as many as may be unavailable, those that are deleted or lacking included.
func (r *replacement) mayGo() int {
	if r.surge > 0 {
		return r.spare - len(r.pending)
	}
	return maxUnavailable(r.Pool) - max(len(r.going), len(r.pending)-min(r.spare, 0))
}

// isDue says that a machine is to be replaced.
func (r *replacement) isDue(name string) bool {
	return slices.ContainsFunc(r.due, func(m *machine) bool { return m.Name == name })
}

// goesFirst says that a proposal has a node go before another is made.
func (r *replacement) goesFirst(p *Proposal) bool {
	return p.Verb == Delete && p.replaces() && p.Disrupts && r.surge == 0
}

// proposeReplace makes machines in the place of others, and deletes those. The ledger lets as many go as have another one in their place
// that is well.
func proposeReplace(f *fleet) []Proposal {
	r := f.replacement
	remain := slices.Concat(r.due, r.later, r.kept)
	if len(r.unborn)+len(remain) == 0 {
		return nil
	}
	proposals := make([]Proposal, 0, len(r.unborn)+len(remain)+r.surge)
	propose := func(verb Verb, m *machine, reason string) {
		p := Proposal{Urgency: urgencyChange, Disrupts: verb == Delete && m.joined(), Action: Action{Verb: verb, Cause: Rollout, Class: disruption.Replace, Reason: reason}}
		if !r.wants(m) {
			p.Urgency, p.Cause = urgencyRenewal, r.renewal(m).cause
		}
		if verb == Create {
			p.Revision = r.target
		} else {
			p.Name, p.UID = m.Name, m.UID
		}
		proposals = append(proposals, p)
	}
	for _, m := range r.unborn {
		propose(Delete, m, r.whyReplaced(m))
	}
	for _, m := range r.uncovered() {
		propose(Create, m, fmt.Sprintf("%s is to be replaced: %s", m.Name, r.whyReplaced(m)))
	}
	for _, m := range remain {
		propose(Delete, m, "it is replaced: "+r.whyReplaced(m))
	}
	return proposals
}

// replaces is what becomes of a machine that gives way to another one.
func (r *rollout) replaces(m *machine) change {
	return change{class: disruption.Replace, reason: "it is replaced: " + r.whyReplaced(m)}
}

// whyReplaced is why a machine gives way to another one, as a sentence of its own.
func (r *rollout) whyReplaced(m *machine) string {
	switch {
	case !r.wants(m):
		return r.renewal(m).why
	case r.isFixed(m):
		ref := r.Pool.Spec.Template.Spec.InfrastructureRef
		return fmt.Sprintf("it was made from another infrastructure than %s %s is now, which no change in place brings it to", ref.Kind, ref.Name)
	case r.reverts():
		return r.whyReverted()
	default:
		return "the pool's template is another one, and spec.rollout.strategy is Replace"
	}
}

// replacementFirst lets machines go that are to be replaced when others are well in their place. Without a surge it lets them go while
// fewer are unavailable than may be.
func replacementFirst(l *ledger, p *Proposal) (string, string) {
	r := l.replacement
	if p.Verb != Delete || !p.replaces() || !p.Disrupts || l.replaced[Delete] < r.mayGo() {
		return "", ""
	}
	reason := DeferredReplacement
	switch {
	case r.surge > 0:
	case maxUnavailable(r.Pool) == 1:
		reason = DeferredRollout
	default:
		reason = DeferredMaxUnavailable
	}
	if l.isDeferred(Delete, reason) {
		return reason, "" // What the first waits for is said.
	}
	return reason, r.awaits(l.replaced[Delete])
}

// awaits says what those wait for that are due, beside so many that go now.
func (r *replacement) awaits(goes int) string {
	switch {
	case len(r.pending) > 0:
		return r.arrivals()
	case len(r.going) > 0:
		return strings.Join(sample(r.going), ", ") + " is drained and deleted first"
	case goes > 0:
		return "as many go as there are others for"
	case r.surge > 0:
		return "another machine is made first"
	default:
		return "another machine is made first in the place of one that is gone"
	}
}

// arrivals says how far those are that others wait for.
func (r *replacement) arrivals() string {
	states := make([]string, 0, len(r.pending))
	for _, m := range r.pending[:min(len(r.pending), maxSample)] {
		states = append(states, m.Name+" "+r.arrival(m))
	}
	if more := len(r.pending) - len(states); more > 0 {
		states = append(states, fmt.Sprintf("%d more", more))
	}
	return strings.Join(states, ", ")
}

// arrival says how far a machine is that others wait for, as the end of a sentence.
func (r *replacement) arrival(m *machine) string {
	complaint := Complaint(m.Machine)
	switch {
	case lacksHost(m) && r.surge > 0:
		return "is made in the place of another and has no Host: " + complaint + "; add a Host, or set spec.rollout.maxSurge to 0 to have a machine go before another is made"
	case complaint != "":
		return "is not ready: " + complaint
	case !m.joined():
		return "has not joined yet"
	default:
		return r.state(m)
	}
}
