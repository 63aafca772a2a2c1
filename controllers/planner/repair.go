package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// maxAttempts is how many machines in a row are replaced without one that comes up. What keeps three from coming up is no machine's
	// fault.
	maxAttempts = 3
	// watchEvery is how soon a pool with unhealthy machines is looked at again, to be sure that nothing is missed meanwhile.
	watchEvery = 30 * time.Second

	defaultReplaceAfter  = 600 * time.Second
	defaultMostUnhealthy = "40%"
)

// repair is what is seen of the health of a pool's machines, and what was begun about it. The zero repair is that of a pool whose
// machines nobody asks to have repaired.
type repair struct {
	*fleet
	// on says that the pool asks to have unhealthy machines repaired, and looks that there is anything to look at: that, or a machine that
	// somebody else asks to have remediated, or that was begun to be.
	on, looks bool
	// watched is since when what is seen counts, by the pool's status.
	watched time.Time
	// patients are the unhealthy machines, those that have been for longest first.
	patients []*patient
	// most is for how many of them at most any is repaired.
	most int
	// current is the repair that was begun last, while it has not helped yet; nil for none.
	current *v1alpha1.MachineRepair
	// made are the machines made since.
	made []*machine
	// frozen is why no machine is repaired, a reason of the condition; empty when it is not so.
	frozen, whyFrozen string
}

func newRepair(f *fleet) *repair {
	r := &repair{fleet: f}
	r.on = !f.deleting() && len(f.Pool.Spec.Repair.Ladder) > 0
	r.looks = r.on || !f.deleting() && (r.hasBegun() || slices.ContainsFunc(f.active, func(m *machine) bool { return Asked(m.Machine) }))
	if !r.looks {
		return r
	}
	r.most = mostUnhealthy(f.Pool, len(f.active))
	for _, m := range f.active {
		if p := f.examine(m); p != nil {
			r.patients = append(r.patients, p)
		}
	}
	r.freeze()
	r.watched = r.watchedSince()
	for _, p := range r.patients {
		p.since = later(later(p.since, r.watched), f.ListeningSince)
		if !p.asked.IsZero() {
			p.asked = later(later(p.asked, r.watched), f.ListeningSince)
		}
	}
	slices.SortStableFunc(r.patients, func(a, b *patient) int { return a.since.Compare(b.since) })
	r.goOn()
	for _, p := range r.patients {
		r.climb(p)
	}
	if r.current != nil && r.isOver() {
		r.current = nil
	}
	return r
}

// hasBegun says that the pool's status has a machine that is being replaced.
func (r *repair) hasBegun() bool {
	return r.Pool.Status.Repair != nil && r.Pool.Status.Repair.Current != nil
}

// mostUnhealthy is for how many unhealthy machines at most any is repaired. A percentage is of the machines that the pool has, rounded
// down; what rounds to nothing is 1.
func mostUnhealthy(pool *v1alpha1.NodePool, machines int) int {
	most := ptr.Deref(pool.Spec.Repair.MaxUnhealthy, intstr.FromString(defaultMostUnhealthy))
	return max(scaled(&most, machines, false), 1)
}

// freeze finds out whether more is wrong than these machines. That nothing is heard of any node is a network that is cut, or an API
// server that was away, sooner than the death of them all: whatever may be unhealthy, and be it one of one.
func (r *repair) freeze() {
	nodes, heard, unheard := 0, 0, 0
	for _, m := range r.active {
		if m.worked() {
			nodes++
		}
		if m.worked() && m.isHeard() {
			heard++
		}
		if m.Status.NodeRef.IsDefined() && m.isUnheard() && !r.isKnown(m) {
			unheard++
		}
	}
	switch {
	case len(r.patients) > 0 && unheard > 0 && heard == 0:
		r.frozen = v1alpha1.ReasonNothingHeard
		r.whyFrozen = fmt.Sprintf("nothing is heard of %s: none is repaired, as it may be the network that fails, or the way to the API server. If a machine is broken, delete it to have it replaced",
			allOf(nodes, "the pool's one node", "any of the pool's %d nodes"))
	case len(r.patients) > r.most:
		r.frozen = v1alpha1.ReasonTooManyUnhealthy
		r.whyFrozen = fmt.Sprintf("%s unhealthy, and with more than %d none is repaired (spec.repair.maxUnhealthy): %s",
			machinesOf(len(r.patients), len(r.active), "is", "are"), r.most, strings.Join(sample(r.names()), ", "))
	}
}

// isKnown says that something else than the silence of its Node tells how a machine is.
func (r *repair) isKnown(m *machine) bool {
	p := r.patient(m)
	return p != nil && p.evidence != evidenceSilent && p.evidence != evidenceAsked
}

// says is why no machine is repaired, as a sentence.
func (r *repair) says() string {
	if r.frozen == "" {
		return ""
	}
	return strings.ToUpper(r.whyFrozen[:1]) + r.whyFrozen[1:]
}

func allOf(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(more, n)
}

func (r *repair) names() []string {
	names := make([]string, 0, len(r.patients))
	for _, p := range r.patients {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// watchedSince is since when what is seen counts. When a freeze ends those that have yet to recover have time for it, all of it again.
// Where a status says nothing, as one that was lost does, nothing was seen before.
func (r *repair) watchedSince() time.Time {
	was, now := r.Pool.Status.Repair, r.Now.Truncate(time.Second)
	switch {
	case was == nil || was.WatchedSince.IsZero():
		return now
	case r.frozen == "" && r.wasFrozen():
		return now
	default:
		return was.WatchedSince.Time
	}
}

// wasFrozen says that the pool's status has too many unhealthy machines.
func (r *repair) wasFrozen() bool {
	c := meta.FindStatusCondition(r.Pool.Status.Conditions, v1alpha1.RepairFrozenCondition)
	return c != nil && c.Reason != v1alpha1.ReasonReplacementsFailed
}

// goOn finds out what has become of the repair that was begun last.
func (r *repair) goOn() {
	was := r.Pool.Status.Repair
	if !r.hasBegun() {
		return
	}
	r.current = was.Current
	for _, m := range r.active {
		if string(m.UID) == was.Current.MachineUID {
			if p := r.patient(m); p == nil || p.held() != "" || !r.on && p.asked.IsZero() {
				r.current = nil // It has recovered by itself, or somebody wants to look at it, or nobody asks any more.
			}
			return
		}
		if m.ordinal >= ptr.Deref(was.Current.NextOrdinal, 0) {
			r.made = append(r.made, m)
		}
	}
	if byAgent(was.Current.Rung) {
		r.current, r.made = nil, nil // Somebody deleted it, in whose place nothing has to come up for the next repair.
		return
	}
	nothingMade := len(r.made) == 0 && len(r.active) >= r.want() && !r.isLeaving(was.Current.MachineUID)
	switch {
	case slices.ContainsFunc(r.made, (*machine).well), nothingMade:
		r.current = nil // It has helped, or the pool does with fewer.
	case r.tried() >= maxAttempts && r.frozen == "" && r.hasFailed():
		r.frozen = v1alpha1.ReasonReplacementsFailed
		r.whyFrozen = fmt.Sprintf("%d machines in a row that were made in the place of unhealthy ones did not come up, the last in that of %s: none is repaired until one comes up, or the template is another one",
			r.tried(), was.Current.Machine)
	}
}

// patient is what is wrong with a machine; nil for nothing.
func (r *repair) patient(m *machine) *patient {
	return r.patientOf(string(m.UID))
}

func (r *repair) isLeaving(uid string) bool {
	return slices.ContainsFunc(r.leaving, func(m *machine) bool { return string(m.UID) == uid })
}

// hasFailed says that what was made in the place of the last one is unhealthy, too.
func (r *repair) hasFailed() bool {
	return len(r.made) > 0 && !slices.ContainsFunc(r.made, func(m *machine) bool { return r.patient(m) == nil })
}

// tried is how many repairs in a row did not help, the current one included.
func (r *repair) tried() int {
	if r.current == nil || r.current.Revision != r.Revision {
		return 0
	}
	return int(r.current.Attempt)
}

// isDue says that a machine has been unhealthy for long enough for what is next.
func (r *repair) isDue(p *patient) bool { return p.rung != "" && !r.Now.Before(p.at) }

// proposeRepair takes the next rung of the ladder for the machines that have been unhealthy for long enough, and replaces those that others
// ask to have remediated. Where the pool has too many it is for scale-down to take those that are not ready first.
func proposeRepair(f *fleet) []Proposal {
	if len(f.active) > f.want() {
		return nil
	}
	var proposals []Proposal
	for _, p := range f.repair.patients {
		if !f.repair.isDue(p) {
			continue
		}
		if byAgent(p.rung) {
			proposals = append(proposals, p.treat())
			continue
		}
		proposals = append(proposals, Proposal{Urgency: urgencyRepair, Disrupts: p.joined(), Action: Action{
			Verb: Delete, Cause: Repair, Name: p.Name, UID: p.UID, Rung: p.rung, Reason: p.why(),
		}})
	}
	return proposals
}

// repairWaits keeps machines from being repaired while something else has to be cleared up, by somebody or by itself.
func repairWaits(l *ledger, p *Proposal) (string, string) {
	if p.Cause != Repair {
		return "", ""
	}
	r := l.repair
	for _, one := range r.patients {
		if one.Name != p.Name {
			continue
		}
		if annotation := one.held(); annotation != "" {
			return DeferredRepairHeld, p.Name + " is annotated " + annotation
		}
		if c := one.lacks(); c != nil {
			return c.Reason, "another one would wait as " + p.Name + " does: " + c.Message
		}
	}
	switch {
	case r.frozen != "":
		return DeferredRepairFrozen, r.whyFrozen
	case p.Verb == Treat:
		return oneRepair(l, p)
	case len(l.Problems) > 0:
		return DeferredStalled, "no machine could be made in its place: " + l.Problems[0].Message
	case l.Revision == "":
		return DeferredStalled, "no machine could be made in its place: the revision of the template is not known"
	case l.Refused != nil:
		return DeferredRefused, "no machine could be made in its place: " + l.Refused.Message
	case r.remembers(p.Name):
		return DeferredRolledBack, p.Name + " went back from revision " + l.Revision + ", which would be tried on the one in its place: change the template"
	}
	return oneRepair(l, p)
}

// remembers says that a machine is the one by which it is known that a template does not work.
func (r *repair) remembers(name string) bool {
	return r.rollout.condemned == nil && slices.ContainsFunc(r.active, func(m *machine) bool {
		return m.Name == name && (m.wentBackFrom(r.Revision) || m.doubts(r.Revision))
	})
}

// oneRepair has each repair wait until the last is over: until what was made in that one's place is available, or has failed as well. So
// it does while a machine of the pool goes for another reason, or is lacking.
func oneRepair(l *ledger, p *Proposal) (string, string) {
	r := l.repair
	switch {
	case l.repairs != "":
		return DeferredRollout, l.repairs + " is repaired first"
	case p.Verb == Treat: // Nothing is to be made in its place.
	case len(l.leaving) > 0:
		return DeferredRollout, l.leaving[0].Name + " is being deleted"
	case len(l.active) < l.want():
		return DeferredRollout, counted(l.want()-len(l.active), "machine is", "machines are") + " lacking"
	}
	switch {
	case r.current == nil || r.hasFailed() || r.continues(p):
		return "", ""
	case len(r.made) == 0: // The machine itself is there, and another one has been unhealthy for longer since.
		return DeferredRollout, r.current.Machine + " is repaired first"
	default:
		return DeferredRollout, fmt.Sprintf("%s, made in the place of %s, has to come up first", r.made[len(r.made)-1].Name, r.current.Machine)
	}
}

// continues says that a repair was begun before, and that whoever began it did not get further.
func (r *repair) continues(p *Proposal) bool {
	return r.current != nil && r.current.MachineUID == string(p.UID)
}

// soonest is how long it is until something is to be done that no event tells of; zero for never.
func (r *repair) soonest() time.Duration {
	if !r.looks || r.paused() {
		return 0
	}
	var after time.Duration
	for _, m := range r.active {
		if until := r.joinsUntil(m); r.on && until.After(r.Now) {
			after = sooner(after, until.Sub(r.Now))
		}
	}
	for _, p := range r.patients {
		after = sooner(after, watchEvery)
		if p.at.After(r.Now) {
			after = sooner(after, p.at.Sub(r.Now))
		}
	}
	return after
}

// whyUnhealthy says of a machine that is unhealthy what comes of it, as the end of a sentence that begins with its name; empty for one
// that is not.
func (r *repair) whyUnhealthy(m *machine) string {
	p := r.patient(m)
	if p == nil {
		return ""
	}
	text := strings.TrimPrefix(p.why(), "it ")
	switch annotation := p.held(); {
	case annotation != "":
		return text + "; it is left as it is, as it is annotated " + annotation
	case r.frozen != "":
		return text + "; it is not repaired, as " + r.whyFrozen
	case p.rung == "" && !r.on:
		return text + "; nobody asks to have it replaced (spec.repair)"
	case p.rung == "":
		return text + "; nothing more is done about it, as spec.repair.ladder has nothing that could help"
	case r.isDue(p):
		return text + "; " + rungWords[p.rung].due
	default:
		return text + "; " + rungWords[p.rung].at + " at " + p.at.UTC().Format(time.RFC3339) + " unless it recovers"
	}
}

// next is the repair that a plan begins, or goes on with, as the status is to have it before anything is done; nil for none.
func (r *repair) next(actions []Action) *v1alpha1.MachineRepair {
	i := slices.IndexFunc(actions, func(a Action) bool { return a.Cause == Repair })
	if i < 0 {
		return nil
	}
	a, attempt := actions[i], r.tried()+1
	if r.current != nil && r.current.MachineUID == string(a.UID) {
		if r.current.Rung == a.Rung && (!byAgent(a.Rung) || r.Now.Before(r.current.StartedAt.Add(requestExpires))) {
			return r.current
		}
		attempt = max(r.tried(), 1) // Further up for the same machine.
	}
	return &v1alpha1.MachineRepair{
		Machine: a.Name, MachineUID: string(a.UID), Rung: a.Rung, StartedAt: seconds(r.Now), NextOrdinal: ptr.To(r.fleet.next),
		Revision: r.Revision, Attempt: int32(attempt), Message: v1alpha1.BoundMessage(cmp.Or(a.Reason, "it is unhealthy")), //nolint:gosec // at most maxAttempts
	}
}
