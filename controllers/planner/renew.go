package planner

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// jitterPart is which part of its time at most a machine lacks, so that those which were made at once do not expire at once.
const jitterPart = 10

// renewal is why a machine that runs what it is to gives way to another of the same. The zero renewal is that of one that does not.
type renewal struct {
	cause Cause
	// why is a sentence.
	why string
}

// renewal is read off the machine, so that there is nothing to remember: what is made in its place is younger.
func (f *fleet) renewal(m *machine) renewal {
	if asked := f.refresh(m); asked.cause != "" {
		return asked
	}
	if expires := f.expiresAt(m); !expires.IsZero() && !f.Now.Before(expires) {
		return renewal{Expiry, fmt.Sprintf("it expired at %s, by spec.disruption.expireAfterSeconds", expires.UTC().Format(time.RFC3339))}
	}
	return renewal{}
}

// expiresAt is when a machine is as old as its pool lets it become; zero for never.
func (f *fleet) expiresAt(m *machine) time.Time {
	after := ptr.Deref(f.Pool.Spec.Disruption.ExpireAfterSeconds, 0)
	if after <= 0 {
		return time.Time{}
	}
	return m.CreationTimestamp.Add(time.Duration(after-jitter(m.UID, after/jitterPart)) * time.Second)
}

// jitter is a number up to most that is always the same for a UID.
func jitter(uid types.UID, most int32) int32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(uid))
	return int32(hash.Sum32() % uint32(most+1)) //nolint:gosec // no more than most
}

// renew puts a machine that is to run nothing else where it belongs. One whose change is not over, that has no node yet or of which
// nothing is heard is passed over.
func (r *rollout) renew(m *machine) {
	switch {
	case r.renewal(m).cause == "" || m.agent == nil || !m.joined() || m.silent() || !m.settled() || m.begun && !r.isOver(m):
	case m.spared(), m.held() != "" && !m.well():
		r.kept = append(r.kept, m)
	default:
		r.renewed = append(r.renewed, m)
	}
}

// renewals is how many machines are due, in a pool whose budgets let any go at present: others may be there for them. Where they let none,
// those are too many until they do.
func (r *rollout) renewals() int {
	due := map[Cause]int{}
	for _, m := range r.active {
		if cause := r.renewal(m).cause; cause != "" && m.joined() && !m.spared() {
			due[cause]++
		}
	}
	n := 0
	for cause, machines := range due { // where none is, nobody asks the budgets' schedules
		if most, speaks := r.budgets.At(r.Now, len(r.Machines))[disruptionReasons[cause]]; !speaks || most.Nodes > 0 {
			n += machines
		}
	}
	return n
}

// untilRenewal is how long it is until the next machine is due; zero for never.
func (r *rollout) untilRenewal() time.Duration {
	if r.deleting() {
		return 0
	}
	after := r.untilRefresh()
	for _, m := range r.active {
		if expires := r.expiresAt(m); expires.After(r.Now) {
			after = sooner(after, expires.Sub(r.Now))
		}
	}
	return after
}

// renewalWaits keeps machines that run what they are to from giving way while others have yet to change, and while more is wrong with
// the pool than their age.
func renewalWaits(l *ledger, p *Proposal) (string, string) {
	r := l.rollout
	switch {
	case p.Cause != Expiry && p.Cause != Refresh:
		return "", ""
	case r.goesOn():
		return DeferredRolloutFirst, "the rollout goes first: " + machinesOf(r.updated, len(r.active), "runs", "run") + " revision " + r.target
	case l.repair.frozen != "" && p.Cause == Expiry: // To ask for a refresh may be meant as the cure.
		return DeferredRepairFrozen, l.repair.whyFrozen
	}
	for _, m := range r.kept {
		if m.Name == p.Name && !m.spared() {
			return DeferredRepairHeld, r.whyKept(m)
		}
	}
	return "", ""
}

// goesOn says that machines have yet to change, or are at it.
func (r *rollout) goesOn() bool {
	return len(r.waiting)+len(r.replaced)+len(r.begunMembers()) > 0
}

// whyKept says why a machine that is due does not give way.
func (r *rollout) whyKept(m *machine) string {
	if m.spared() {
		return m.sparedFor()
	}
	return m.Name + " is annotated " + m.held()
}

// isRenewing says that machines which were due are on their way out.
func (r *rollout) isRenewing(outcome Outcome) bool {
	goes := func(a Action) bool { return a.Cause == Expiry || a.Cause == Refresh }
	return slices.ContainsFunc(outcome.Deleted, goes) || slices.ContainsFunc(r.leaving, func(m *machine) bool { return r.renewal(m).cause != "" && !r.outdated(m) })
}

// judgeRenewal answers while machines give way to others of the same. Those that only wait to do so for their age are well, and so is the
// pool.
func judgeRenewal(r *rollout, result Result, outcome Outcome, t tally) *verdict {
	if !r.isRenewing(outcome) && !r.isRefreshing() && (len(r.renewed) == 0 || t.total <= t.want) {
		return nil
	}
	message := machinesOf(t.ready, t.want, "is ready", "are ready")
	if words := r.saysGivesWay(len(r.renewed), result, outcome); words != "" {
		message += "; " + words
	}
	return &verdict{reason: v1alpha1.ReasonReplacing, message: message, progressing: true}
}

// saysExpiry is when a machine expires, as the end of a sentence; empty for one that does not.
func (r *rollout) saysExpiry(m *machine) string {
	expires := r.expiresAt(m)
	if expires.IsZero() {
		return ""
	}
	return ", and expires at " + expires.UTC().Format(time.RFC3339)
}
