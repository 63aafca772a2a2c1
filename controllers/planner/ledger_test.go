package planner

import (
	"fmt"
	"slices"
	"testing"
)

// proposed is a proposal about a machine, of an urgency.
func proposed(verb Verb, name string, urgency Urgency) Proposal {
	return Proposal{Action: Action{Verb: verb, Name: name}, Urgency: urgency}
}

func TestTheLedgerDoesOneThingToAMachine(t *testing.T) {
	for name, tc := range map[string]struct {
		reason    string
		pool      *Snapshot
		proposals []Proposal
		admitted  []string
		deferred  []string
	}{
		"the most urgent first": {
			reason:    "whoever proposes last may be in the greatest hurry",
			proposals: []Proposal{proposed(Uncordon, "a", urgencyChange), proposed(Delete, "b", urgencySurplus), proposed(Discard, "c", urgencyLacking)},
			admitted:  []string{"Discard c", "Delete b", "Uncordon a"},
		},
		"as urgent": {
			reason:    "a proposer puts its own into an order, which is kept",
			proposals: []Proposal{proposed(Delete, "b", urgencySurplus), proposed(Delete, "a", urgencySurplus)},
			admitted:  []string{"Delete b", "Delete a"},
		},
		"two about one machine": {
			reason:    "one that goes is not uncordoned; that is not held against it either",
			proposals: []Proposal{proposed(Uncordon, "a", urgencyOver), proposed(Delete, "a", urgencySurplus), proposed(Uncordon, "b", urgencyOver)},
			admitted:  []string{"Delete a", "Uncordon b"},
		},
		"the more urgent may not be": {
			reason:    "what was not admitted is in nobody's way",
			pool:      &Snapshot{Confirmed: true, Stopped: "the disk is full"},
			proposals: []Proposal{disrupting(proposed(Delete, "a", urgencySurplus)), proposed(Uncordon, "a", urgencyOver)},
			admitted:  []string{"Uncordon a"},
			deferred:  []string{"Delete 1 FleetStopped"},
		},
		"the more urgent waits for a read": {
			reason:    "it is as good as begun: nothing else is done to the machine that the read is about",
			pool:      &Snapshot{Confirmed: true},
			proposals: []Proposal{proposed(Delete, "a", urgencySurplus), proposed(Uncordon, "a", urgencyOver)},
			deferred:  []string{"Delete 1 CacheUnconfirmed"},
		},
		"those that were read, of those that are changed": {
			reason:    "a confirmed snapshot may turn out to be about another machine than was asked for",
			pool:      &Snapshot{Confirmed: true, Sure: map[string]bool{"a": true}},
			proposals: []Proposal{proposed(Uncordon, "a", urgencyOver), proposed(Uncordon, "b", urgencyOver), proposed(Update, "c", urgencyChange)},
			admitted:  []string{"Uncordon a"},
			deferred:  []string{"Uncordon 1 CacheUnconfirmed", "Update 1 Stalled"},
		},
		"machines that have no name yet": {
			reason:    "these are as many as there are",
			pool:      &Snapshot{Live: true, Revision: "r1"},
			proposals: []Proposal{proposed(Create, "", urgencyLacking), proposed(Create, "", urgencyLacking)},
			admitted:  []string{"Create ", "Create "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := Snapshot{Live: true, Confirmed: true, Revision: "r1"}
			if tc.pool != nil {
				s = *tc.pool
			}
			s.Pool = newPool(2, 0)
			l := newLedger(newFleet(s))
			l.admitAll(tc.proposals)
			var admitted, deferred []string
			for _, a := range l.actions {
				admitted = append(admitted, fmt.Sprintf("%s %s", a.Verb, a.Name))
			}
			for _, d := range l.deferred {
				deferred = append(deferred, fmt.Sprintf("%s %d %s", d.Verb, d.Count, d.Reason))
			}
			if !slices.Equal(admitted, tc.admitted) || !slices.Equal(deferred, tc.deferred) {
				t.Errorf("%s: admitted %q and deferred %q, want %q and %q", tc.reason, admitted, deferred, tc.admitted, tc.deferred)
			}
		})
	}
}

// TestProposersAskNobody: they say the same of a pool that may not change anything. Whether it may is the ledger's to say.
func TestProposersAskNobody(t *testing.T) {
	free := snapshot(newPool(1, 4), newMachine(0, outdated), newMachine(1, outdated), newMachine(2, outdated))
	held := snapshot(newPool(1, 4, isPaused), newMachine(0, outdated), newMachine(1, outdated), newMachine(2, outdated))
	held.CacheBehind = "a write"
	for _, s := range []*Snapshot{&free, &held} {
		hasAgents(runs(0, "r0"), runs(1, "r0"), runs(2, "r0"))(s)
		s.Cordoned = map[string]bool{newMachine(0).Name: true}
	}
	for i, propose := range proposers {
		if got, want := len(propose(newFleet(held))), len(propose(newFleet(free))); got != want {
			t.Errorf("proposer %d has %d proposals for a pool that may not change anything, and %d for one that may", i, got, want)
		}
	}
	if result := Plan(held); len(result.Actions) > 0 {
		t.Errorf("and yet it does %+v", result.Actions)
	}
}

func disrupting(p Proposal) Proposal {
	p.Disrupts = true
	return p
}
