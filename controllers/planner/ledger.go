package planner

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// check says why a proposal has to wait: a stable reason and a sentence. Empty: it has not.
type check func(*ledger, *Proposal) (reason, message string)

// checks are asked in this order. The first that objects is the reason kept.
var checks = []check{cacheBehind, paused, stopped, poolDeleting, stalled, refused, repairWaits, rolledBack, renewalWaits, doNotDisrupt, canaryFirst, replacementFirst, tooManyUnavailable, overBudget, unconfirmed, batchFull, unnamed}

// ledger admits or defers what the proposers propose. Every change to a machine goes through it.
type ledger struct {
	*fleet
	// actions were admitted, in the order of their urgency.
	actions []Action
	// deferred are the others.
	deferred []Deferral
	// admitted is how many were, disrupted how many of these disrupt a node.
	admitted, disrupted map[Verb]int
	// replaced is how many machines are made for others that go, and how many of these go, by this plan.
	replaced map[Verb]int
	// busy are the machines that something is done to.
	busy map[string]bool
	// unavailable is unavailability's.
	unavailable *unavailability
	// spent is spending's.
	spent *spending
	// spared is sparedMachines'.
	spared map[string]*machine
	// unconfirmed are the machines whose Updates, or repairs, wait for a confirmed snapshot alone.
	unconfirmed []string
	// repairs is the machine that this plan repairs; empty for none.
	repairs string
	// answers are what comes of repairs, by machine, as those who asked for them are told.
	answers map[string]*metav1.Condition
	// tell is told each decision, with why a proposal waits, if it does; nil for nobody.
	tell func(p *Proposal, reason, message string)
}

func newLedger(f *fleet) *ledger {
	return &ledger{fleet: f, admitted: map[Verb]int{}, disrupted: map[Verb]int{}, replaced: map[Verb]int{}, busy: map[string]bool{}, answers: map[string]*metav1.Condition{}}
}

// admitAll goes through what is proposed, the most urgent first. One thing is done to a machine at a time: what is proposed
// about it besides can be proposed again.
func (l *ledger) admitAll(proposals []Proposal) {
	slices.SortStableFunc(proposals, func(a, b Proposal) int { return cmp.Compare(a.Urgency, b.Urgency) })
	for i := range proposals {
		if p := &proposals[i]; !l.busy[p.Name] {
			l.consider(p)
		}
	}
}

// consider admits or defers one proposal.
func (l *ledger) consider(p *Proposal) {
	for _, objects := range checks {
		if reason, message := objects(l, p); reason != "" {
			l.told(p, reason, message)
			l.wait(p, reason, message)
			return
		}
	}
	l.told(p, "", "")
	l.actions = append(l.actions, p.Action)
	l.take(p)
}

func (l *ledger) told(p *Proposal, reason, message string) {
	l.answer(p, reason, message)
	if l.tell != nil {
		l.tell(p, reason, message)
	}
}

// wait records that a proposal waits. Those that wait for the same reason are counted together.
func (l *ledger) wait(p *Proposal, reason, message string) {
	if reason == DeferredUnconfirmed {
		l.foresee(p)
	}
	for i := range l.deferred {
		if d := &l.deferred[i]; d.Verb == p.Verb && d.Reason == reason {
			d.Count++
			return
		}
	}
	l.deferred = append(l.deferred, Deferral{Verb: p.Verb, Count: 1, Reason: reason, Message: message})
}

// foresee counts what waits for a read from the API server alone as if it began. What is asked to be read is so what a plan after that
// read is about, unless that shows something else.
func (l *ledger) foresee(p *Proposal) {
	if p.needsConfirmation() {
		l.unconfirmed = append(l.unconfirmed, p.Name)
	}
	l.take(p)
}

// take counts a proposal as one that begins.
func (l *ledger) take(p *Proposal) {
	l.admitted[p.Verb]++
	if p.Disrupts {
		l.disrupted[p.Verb]++
	}
	if p.Name != "" {
		l.busy[p.Name] = true
	}
	if p.Cause == Repair {
		l.repairs = p.Name
	}
	l.begin(p)
	l.spend(p)
}

func cacheBehind(l *ledger, _ *Proposal) (string, string) {
	if l.CacheBehind == "" {
		return "", ""
	}
	return DeferredCacheBehind, "the cache does not show yet: " + l.CacheBehind
}

// unconfirmed keeps the number of machines from being changed on the ground of a cache. A cache of our own writes would
// be behind; this is about those of the leader before us. Nor does a change of a node begin on that ground.
func unconfirmed(l *ledger, p *Proposal) (string, string) {
	switch {
	case p.needsConfirmation() && !l.isConfirmed(p.Name):
		return DeferredUnconfirmed, "the pool and those of its nodes that are changed were not read from the API server"
	case p.needsLive() && !l.Live:
		return DeferredUnconfirmed, "the machines were not read from the API server"
	default:
		return "", ""
	}
}

// paused lets releases through: they finish what a user began by deleting a Machine.
func paused(l *ledger, p *Proposal) (string, string) {
	if !l.paused() || p.Verb == Release {
		return "", ""
	}
	return DeferredPaused, "spec.paused is set"
}

// stopped holds whatever disrupts a node, for whatever cause. What is lacking is made, which whoever stops a fleet may need, and what
// is over, or never began, is tidied up.
func stopped(l *ledger, p *Proposal) (string, string) {
	if l.Stopped == "" || !p.Disrupts && !p.replaces() {
		return "", ""
	}
	return DeferredStopped, l.Stopped
}

func poolDeleting(l *ledger, p *Proposal) (string, string) {
	if !l.deleting() || p.Verb != Create && p.Verb != Update {
		return "", ""
	}
	return DeferredDeleting, "a pool that is being deleted makes no machine and changes none"
}

func stalled(l *ledger, p *Proposal) (string, string) {
	if p.Verb != Create && p.Verb != Update && !p.replaces() {
		return "", ""
	}
	if len(l.Problems) > 0 {
		return DeferredStalled, l.Problems[0].Message
	}
	if l.Revision == "" {
		return DeferredStalled, "the revision of the template is not known"
	}
	return "", ""
}

// refused keeps each event of a pool from trying again what a quota or a policy does not allow. Nor does a machine go then of which
// another is only made after it.
func refused(l *ledger, p *Proposal) (string, string) {
	if l.Refused == nil || p.Verb != Create && !l.replacement.goesFirst(p) {
		return "", ""
	}
	return DeferredRefused, l.Refused.Message
}

var enough = fmt.Sprintf("%d at once are enough", MaxBatch)

func batchFull(l *ledger, p *Proposal) (string, string) {
	if p.Verb == Release || p.Verb == Discard || l.admitted[p.Verb] < MaxBatch {
		return "", ""
	}
	return DeferredBatch, enough
}
