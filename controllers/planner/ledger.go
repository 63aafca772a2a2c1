package planner

import "fmt"

// check says why an action has to wait: a stable reason and a sentence. Empty: it has not.
type check func(*ledger, Action) (reason, message string)

// checks are asked in this order. The first that objects is the reason kept.
var checks = []check{cacheBehind, paused, poolDeleting, stalled, refused, unconfirmed, batchFull}

// ledger admits or defers what the proposers propose. Every change to a machine goes through it.
type ledger struct {
	*fleet
	admitted map[Verb]int
	deferred []Deferral
}

func newLedger(f *fleet) *ledger { return &ledger{fleet: f, admitted: map[Verb]int{}} }

// admitAll returns those of the proposed actions that are admitted.
func (l *ledger) admitAll(proposed []Action) []Action {
	var admitted []Action
	for _, action := range proposed {
		if l.admit(action) {
			admitted = append(admitted, action)
		}
	}
	return admitted
}

func (l *ledger) admit(action Action) bool {
	for _, objects := range checks {
		if reason, message := objects(l, action); reason != "" {
			l.deferSome(action.Verb, 1, reason, message)
			return false
		}
	}
	l.admitted[action.Verb]++
	return true
}

// deferSome records that actions wait. Those that wait for the same reason are counted together.
func (l *ledger) deferSome(verb Verb, count int, reason, message string) {
	if count <= 0 {
		return
	}
	for i := range l.deferred {
		if d := &l.deferred[i]; d.Verb == verb && d.Reason == reason {
			d.Count += count
			return
		}
	}
	l.deferred = append(l.deferred, Deferral{Verb: verb, Count: count, Reason: reason, Message: message})
}

func (l *ledger) deferrals() []Deferral { return l.deferred }

func cacheBehind(l *ledger, _ Action) (string, string) {
	if l.CacheBehind == "" {
		return "", ""
	}
	return DeferredCacheBehind, "the cache does not show yet: " + l.CacheBehind
}

// unconfirmed keeps the number of machines from being changed on the ground of a cache. A cache of our own writes would
// be behind; this is about those of the leader before us.
func unconfirmed(l *ledger, action Action) (string, string) {
	if l.Live || action.Verb == Release {
		return "", ""
	}
	return DeferredUnconfirmed, "the machines were not read from the API server"
}

// paused lets releases through: they finish what a user began by deleting a Machine.
func paused(l *ledger, action Action) (string, string) {
	if !l.paused() || action.Verb == Release {
		return "", ""
	}
	return DeferredPaused, "spec.paused is set"
}

func poolDeleting(l *ledger, action Action) (string, string) {
	if !l.deleting() || action.Verb != Create {
		return "", ""
	}
	return DeferredDeleting, "a pool that is being deleted makes no machine"
}

func stalled(l *ledger, action Action) (string, string) {
	if action.Verb != Create {
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

// refused keeps each event of a pool from trying again what a quota or a policy does not allow.
func refused(l *ledger, action Action) (string, string) {
	if l.Refused == nil || action.Verb != Create {
		return "", ""
	}
	return DeferredRefused, l.Refused.Message
}

func batchFull(l *ledger, action Action) (string, string) {
	if action.Verb == Release || action.Verb == Discard || l.admitted[action.Verb] < MaxBatch {
		return "", ""
	}
	return DeferredBatch, fmt.Sprintf("%d at once are enough", MaxBatch)
}
