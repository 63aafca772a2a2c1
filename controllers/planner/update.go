package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// proposeUpdate gives the target to the machines that were told to run another revision. The ledger lets as many begin at a time as
// may be unavailable.
func proposeUpdate(f *fleet) []Proposal {
	r := f.rollout
	if len(f.Problems) == 0 && f.Contents[r.target].Spec == nil {
		return nil
	}
	proposals := make([]Proposal, 0, len(r.waiting)+len(r.spared))
	for _, m := range slices.Concat(r.waiting, r.spared) {
		change := r.change(m)
		if r.reverts() {
			change.reason = r.whyReverted()
		}
		verb := Update
		if r.isReplaced(m) { // one that is spared, and so waits
			verb, change = Delete, r.replaces(m)
		}
		proposals = append(proposals, Proposal{Urgency: urgencyChange, Disrupts: m.joined(), Action: Action{
			Verb: verb, Cause: Rollout, Name: m.Name, UID: m.UID, Revision: r.target,
			Class: change.class, Reason: change.reason,
		}})
	}
	return proposals
}

// proposeUncordon lets pods back onto nodes that were drained for a change: one that is over, well or not, or that is not to
// be made any more.
func proposeUncordon(f *fleet) []Proposal {
	if f.deleting() {
		return nil // its machines go
	}
	var proposals []Proposal
	for _, m := range f.active {
		if !m.cordoned || m.agent == nil || !m.settled() || f.rollout.isDrainedFor(m) {
			continue
		}
		proposals = append(proposals, Proposal{Urgency: urgencyOver, Action: Action{
			Verb: Uncordon, Cause: Rollout, Name: m.Name, UID: m.UID, Reason: "its change is over",
		}})
	}
	return proposals
}

// isDrainedFor says that a machine is to be given the target, for which its pods have to go.
func (r *rollout) isDrainedFor(m *machine) bool {
	return r.wants(m) && !r.isReplaced(m) && !m.spared() && r.class(m) == disruption.Drain
}

// whyUpdated names what changed and what comes of it.
func whyUpdated(changes []disruption.Change) string {
	var fields, components []string
	for _, c := range changes {
		if !slices.Contains(fields, c.Field) {
			fields = append(fields, c.Field)
		}
		for _, component := range c.Components {
			if !slices.Contains(components, component) {
				components = append(components, component)
			}
		}
	}
	if len(fields) == 0 {
		return "the pool's template is another one, and asks for what it runs"
	}
	why := "the pool's template changed in " + strings.Join(sample(fields), ", ")
	switch class := disruption.Worst(changes); {
	case class == disruption.None || class == disruption.Restart && len(components) == 0:
		return why + ", for which nothing restarts"
	case class == disruption.Restart:
		return fmt.Sprintf("%s, for which %s may restart; its pods stay", why, strings.Join(components, ", "))
	default:
		return why + ", for which it is drained first"
	}
}

// rolledBack ends a rollout at the first machine that went back, also while that one tries again. It holds for machines to be
// made as well, unless these are made from what is known to be good.
func rolledBack(l *ledger, p *Proposal) (string, string) {
	r, given := l.rollout, p.Revision
	if p.replaces() {
		given = r.target
	}
	switch {
	case given == "":
		return "", ""
	case r.doubted != nil && given == r.target:
		return DeferredRolledBack, r.doubted.Name + " went back from revision " + r.target
	case r.condemned != nil && given == r.Revision:
		return DeferredRolledBack, r.condemned.Machine + " went back from revision " + r.Revision
	}
	return "", ""
}

// begun are the machines whose change has begun and is not over, or begins with this plan.
func (l *ledger) begun() []string { return l.unavailability().begun }

// begin notes that the change of a machine begins, or that it is replaced. One that is repaired is one of the
// nodes that go.
func (l *ledger) begin(p *Proposal) {
	switch {
	case !p.Disrupts && !p.replaces():
	case p.Verb == Update:
		l.unavailability().begin(p.Name)
	case (p.Verb == Delete || p.Verb == Treat) && l.unavailable != nil:
		l.unavailable.deleted++
	}
	if p.replaces() && (p.Disrupts || p.Verb == Create) || p.Cause == Repair {
		l.replaced[p.Verb]++
	}
	if p.Verb == Treat && l.replacement.isDue(p.Name) { // It stays for now, and nobody is to go in its stead.
		l.replaced[Delete]++
	}
}

// stillUpdating are the machines whose change is not over.
func stillUpdating(r *rollout) []string {
	var names []string
	for _, m := range r.active {
		if m.begun && !r.isOver(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

// isOver says that a machine whose change has begun runs what it was told to, is well for as long as it has to be, and is to run nothing
// else.
func (r *rollout) isOver(m *machine) bool { return r.arrived(m) && !r.Now.Before(r.restsUntil(m)) }

// arrived says the same, but that it may have been well for too short a time.
func (r *rollout) arrived(m *machine) bool {
	return !r.holds(m) && !m.cordoned && (!r.wants(m) || (m.spared() || r.isReplaced(m)) && m.well())
}

// updating is what the pool's status names as being changed after a plan. Without a confirmed snapshot it stays as it was. Confirm has
// the machines that such a snapshot has to be sure of besides, when it would make a difference.
func updating(r *rollout, l *ledger) (names, confirm []string) {
	was := r.Pool.Status.Updating
	if r.deleting() || r.paused() || r.CacheBehind != "" {
		return was, nil
	}
	if r.Revision == "" { // What the template asks for is not known. Nodes may be uncordoned nevertheless.
		return was, l.unconfirmed
	}
	still := stillUpdating(r)
	if !r.Confirmed {
		if len(still) == len(was) && len(without(still, was)) == 0 && len(l.unconfirmed) == 0 {
			return was, nil
		}
		named := slices.Concat(was, without(still, was)) // a cordon that a late cache shows tells of what is over
		return was, slices.Concat(named, without(l.unconfirmed, named))
	}
	names = slices.Concat(still, without(without(l.begun(), was), l.unconfirmed))
	slices.Sort(names)
	return slices.Compact(names), l.unconfirmed // one that a cordon alone tells of is among both
}

// without are the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// failedMessage says which machine went back, why, and what can be done.
func (r *rollout) failedMessage(held int) string {
	m := r.failed
	from, cure := m.wayBack(), "change the template"
	if m.rolledBackFrom(m.agent.Status.CurrentRevision) {
		from, cure = fmt.Sprintf("the facts of the cluster as they are now to those that it had, with revision %s", m.agent.Status.CurrentRevision), "correct these facts"
	}
	message := fmt.Sprintf("Machine %s went back from %s: %s", m.Name, from, whyFailed(m))
	message += ". No other machine is given that revision"
	if held > 0 {
		message += fmt.Sprintf(" (%s)", counted(held, "waits", "wait"))
	}
	if made := r.madeFrom(); made != r.target {
		message += ", and new ones are made from revision " + made
	}
	return message + ": " + cure + ", or delete that Machine to have it tried on another"
}

// maxFailure is the most that is said of why a machine went back, its component's last words included.
const maxFailure = 720

// whyFailed is why a machine went back, in the words of its agent and of the component that failed.
func whyFailed(m *machine) string {
	if m.byItsAgent(m.told) {
		return whyGaveUp(m.gaveUp)
	}
	failed := m.agent.Status.FailedRevision
	what := failed.Reason
	if failed.Component != "" {
		what = failed.Component + ": " + what
	}
	if failed.Message != "" {
		what += ": " + failed.Message
	}
	const mostWhat, mostWords = 400, 300
	what = v1alpha1.Shorten(what, mostWhat)
	if words := failed.Exit.LastWords(mostWords); words != "" && !strings.Contains(what, words) {
		what += fmt.Sprintf("; it said %q", words)
	}
	return what
}
