package planner

import (
	"cmp"
	"slices"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Decision is what the ledger decided about a proposal.
type Decision struct {
	Action
	// Waits is why the action is not taken now, a stable reason in CamelCase, and For what has to happen first, in a sentence.
	// Both are empty for one that is taken.
	Waits, For string
}

// Standing is where a machine of the pool is.
type Standing struct {
	// Name is the machine's.
	Name string
	// State is the end of a sentence that begins with its name.
	State string
}

// Explanation is a plan with its reasons.
type Explanation struct {
	// Pool is the pool that was planned for.
	Pool *v1alpha1.NodePool
	// Revision is that of its template; empty while it is not known.
	Revision string
	// Updated is how many machines run that, of those that stay, which are Active.
	Updated, Active int
	// Decisions are in the order in which the ledger goes through what is proposed.
	Decisions []Decision
	// Machines are all of the pool, by ordinal, those that are being deleted last.
	Machines []Standing
	// Refresh says how far a refresh is that somebody asks for, as a sentence without its end; empty where nobody does.
	Refresh string
	// Problems keep the pool from making or changing machines, the gravest first.
	Problems []Problem
}

// Explain is [Plan], told: it makes the same decisions by the same ledger, and keeps each with its reason.
func Explain(s Snapshot) Explanation {
	f := newFleet(s)
	told := Explanation{Pool: s.Pool, Revision: s.Revision, Problems: s.Problems, Updated: f.rollout.updated, Active: len(f.active)}
	_, _, told.Refresh = f.refreshed()
	l := newLedger(f)
	said := map[string]string{} // by reason: of many that wait for the same, the first says for what
	l.tell = func(p *Proposal, reason, message string) {
		if message != "" {
			said[reason] = message
		}
		told.Decisions = append(told.Decisions, Decision{Action: p.Action, Waits: reason, For: said[reason]})
	}
	l.admitAll(propose(f))
	for _, m := range f.active {
		told.Machines = append(told.Machines, Standing{Name: m.Name, State: f.rollout.standing(m)})
	}
	for _, m := range f.leaving {
		told.Machines = append(told.Machines, Standing{Name: m.Name, State: leavingState(m)})
	}
	return told
}

// standing says where a machine is, and why nobody would change one that does not run the target.
func (r *rollout) standing(m *machine) string {
	switch {
	case r.deleting():
		return "goes, as the pool is being deleted"
	case m == r.failed && m.byItsAgent(m.told):
		return "went back from " + m.wayBack() + ": " + whyFailed(m)
	case m == r.failed:
		failed := m.agent.Status.FailedRevision
		return "went back from " + m.wayBack() + ": " + cmp.Or(failed.Message, failed.Reason)
	case r.repair.patient(m) != nil:
		return r.repair.whyUnhealthy(m)
	case slices.Contains(r.spared, m):
		return "runs revision " + m.agent.Status.CurrentRevision + " and is left alone: " + m.sparedFor()
	case slices.Contains(r.unreachable, m):
		return "is not heard of: it is passed over until it is"
	case r.wants(m) && r.isReplaced(m):
		return "is to be replaced: " + r.whyReplaced(m)
	case slices.Contains(r.renewed, m):
		return "is to be replaced: " + r.whyReplaced(m)
	case slices.Contains(r.kept, m):
		return "is left as it is: " + r.renewal(m).why + ", but " + r.whyKept(m)
	case r.wants(m) && !m.begun && m.settled():
		return "runs revision " + m.agent.Status.CurrentRevision + " and is to be given " + r.target
	default:
		return r.state(m) + r.saysExpiry(m)
	}
}

// leavingState says what a machine that is being deleted waits for.
func leavingState(m *machine) string {
	if complaint := Complaint(m.Machine); complaint != "" {
		return "is being deleted: " + complaint
	}
	return "is being deleted"
}
