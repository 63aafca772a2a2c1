package planner

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Content is what a revision stands for.
type Content struct {
	// Spec is what a node of it is to run. What is resolved live, as the facts of its cluster, does not count.
	Spec *v1alpha1.NodeAgentSpec
	// Elsewhere says that machines of it are made from another infrastructure than the target's are.
	Elsewhere bool
}

// rollout is where the machines of a pool are on the way to the target.
type rollout struct {
	*fleet
	// target is what the machines are given: the revision of the pool's template, or, where that was given up, the one before.
	target string
	// condemned is the template's revision, where that was given up; nil where it was not.
	condemned *v1alpha1.FailedRollout
	// waiting are those that are to be given the target, in the order that they get it.
	waiting []*machine
	// open are those whose change is not over, which all others wait for.
	open []*machine
	// unreachable would be given it if anything were heard of them.
	unreachable []*machine
	// spared would be given it if somebody did not ask to leave them alone.
	spared []*machine
	// replaced are those that give way to others made from the target, as no change in place brings them there or none is to. unheard is
	// how many would be if anything were heard of them: of the unreachable, and of those whose NodeAgent is not there.
	replaced []*machine
	unheard  int
	// renewed are those that run what they are to and give way to others of the same. kept would, if nobody wanted them as they are.
	renewed, kept []*machine
	// failed is the first that went back from the target; nil for none.
	failed *machine
	// doubted is the first that failed by the target and has not proved it since, failed or one that tries it again; nil for none.
	doubted *machine
	// updated is how many run the target, which has proved itself on each of them.
	updated int
	// canary is how far the nodes are that are given the target before the others.
	canary canary

	changes map[[2]string]change
	states  map[string]string
}

// change is what becomes of a machine that is given the target, and why.
type change struct {
	class  disruption.Class
	reason string
}

func newRollout(f *fleet) *rollout {
	r := &rollout{fleet: f, changes: map[[2]string]change{}, states: map[string]string{}}
	r.condemned = f.condemned()
	r.target = f.Revision
	if r.condemned != nil && f.rollsBack() && r.isUsable(r.condemned.PreviousRevision) {
		r.target = r.condemned.PreviousRevision
	}
	if f.deleting() {
		return r
	}
	for _, m := range f.active {
		r.sort(m)
	}
	r.waiting = ranked(r.waiting)
	r.canary = newCanary(r)
	return r
}

// sort puts a machine where it belongs.
func (r *rollout) sort(m *machine) {
	if m.runs(r.target) {
		r.updated++
	}
	if r.failed == nil && m.wentBackFrom(r.target) {
		r.failed = m
	}
	if r.doubted == nil && m.doubts(r.target) {
		r.doubted = m
	}
	held := r.holds(m)
	if held {
		r.open = append(r.open, m)
	}
	switch {
	case r.mayGiveWay(m):
		r.unheard++
	case !r.wants(m):
		r.renew(m)
	case m.spared():
		r.spared = append(r.spared, m)
	case r.isReplaced(m) && m.silent() && m.joined():
		r.unreachable = append(r.unreachable, m)
		r.unheard++
	case r.isReplaced(m):
		r.replaced = append(r.replaced, m)
	case m.silent() && !held && !m.begun:
		r.unreachable = append(r.unreachable, m)
	default:
		r.waiting = append(r.waiting, m)
	}
}

// mayGiveWay says that a machine whose NodeAgent somebody deleted is to be replaced, as far as its Machine tells. Nobody knows what it runs
// before that is made anew, and what was made in its place is no surplus meanwhile.
func (r *rollout) mayGiveWay(m *machine) bool {
	return m.agent == nil && m.joined() && r.needsAnother(m)
}

// rank is lower for what is changed first. A change that has begun goes on. A machine without a Node disturbs nobody. One
// that is broken goes before those that work, as Cluster API's and Kubernetes' Deployments have it: nobody misses it, and
// the edit may be its cure. It is no exception to one at a time, and others wait until it is well: from then on nobody can
// tell whether it is the change that keeps it broken, and a node that works is worth more than a rollout that goes on.
// Whoever knows better deletes the Machine. One of which nothing is heard is another matter (unreachable): it would not
// take the change now, but some time, maybe together with others that were silent for the same cause. It is passed over
// until it is heard of, and nobody waits for it.
func rank(m *machine) int {
	switch {
	case m.begun:
		return 0
	case !m.joined():
		return 1
	case !m.well():
		return 2
	default:
		return ranks - 1
	}
}

const ranks = 4

// ranked are machines by rank, those of one as they were.
func ranked(machines []*machine) []*machine {
	var byRank [ranks][]*machine
	for _, m := range machines {
		byRank[rank(m)] = append(byRank[rank(m)], m)
	}
	return slices.Concat(byRank[:]...)
}

// wants says that a machine is to run another revision than it was told to.
func (r *rollout) wants(m *machine) bool {
	if r.reverts() {
		return m.agent != nil && m.told == r.Revision // Others have not been given what failed.
	}
	return r.target != "" && m.agent != nil && m.told != r.target
}

// outdated says that a machine is told to run another revision than the target, where that is known.
func (r *rollout) outdated(m *machine) bool { return r.target != "" && m.told != r.target }

// isFixed says that a machine was made from something else than the target's machines are, as far as is known.
func (r *rollout) isFixed(m *machine) bool {
	return m.Labels[v1alpha1.RevisionLabel] != r.target && (r.isMadeElsewhere(m) || r.class(m) == disruption.Replace)
}

// isMadeElsewhere says the same of a machine of which nothing but its Machine may be there.
func (r *rollout) isMadeElsewhere(m *machine) bool {
	made := m.Labels[v1alpha1.RevisionLabel]
	from, known := r.Contents[made]
	return made != r.target && (!known || from.Elsewhere)
}

// holds says that all others wait for a machine.
func (r *rollout) holds(m *machine) bool {
	switch {
	case m.agent == nil || !m.joined():
		return m.begun && m.joined()
	case !m.settled():
		// What was given to it before it fell silent it has taken, and a fact of the cluster that it has yet to hear is nobody's change. One
		// that was to be changed when that was taken back may have heard of the change alone.
		return !m.comingUp() && (m.begun || !m.silent() || !m.runs(m.agent.Spec.Revision))
	case m.agent.Spec.Revision == r.target:
		return !m.well() || m.wentBackFrom(r.target)
	default:
		return false
	}
}

// uncured is the first of those that all others wait for, where nothing has worked yet on any of these and each is to be given the
// target, which may be its cure. Such a machine was told what does not work before it had a Node. It waits for nobody, not even for
// a change that has begun: that one waits for it. Empty: there is none.
func (r *rollout) uncured() string {
	for _, m := range r.open {
		if !m.unproven() || !r.wants(m) || r.isReplaced(m) {
			return ""
		}
	}
	if len(r.open) == 0 {
		return ""
	}
	return r.open[0].Name
}

// change is what becomes of a machine that is given the target.
func (r *rollout) change(m *machine) change {
	running := m.agent.Status.CurrentRevision
	key := [2]string{m.agent.Spec.Revision, running}
	if m.settled() {
		key[0] = running
	}
	if known, ok := r.changes[key]; ok {
		return known
	}
	var changes []disruption.Change
	if to := r.Contents[r.target].Spec; to != nil {
		from, known := r.Contents[running]
		if known {
			changes = between(from.Spec, to)
		}
		if !known || !m.settled() { // It may run what it was told last, or be about to.
			changes = append(changes, between(&m.agent.Spec, to)...)
		}
	}
	r.changes[key] = change{class: disruption.Worst(changes), reason: whyUpdated(changes)}
	return r.changes[key]
}

func (r *rollout) class(m *machine) disruption.Class { return r.change(m).class }

// state says where a machine is on its way to the target, as the end of a sentence that begins with its name.
func (r *rollout) state(m *machine) string {
	if r.states[m.Name] == "" {
		r.states[m.Name] = m.state(r.target)
		if m.agent != nil && m.settled() && r.wants(m) && m.spared() {
			r.states[m.Name] = "is to be left alone"
		}
		if r.rests(m) {
			r.states[m.Name] += ", and has to stay ready until " + r.restsUntil(m).UTC().Format(time.RFC3339)
		}
	}
	return r.states[m.Name]
}

// between compares what two revisions say. What is no part of one is the same for both: the facts of the cluster, a request for a repair,
// and the agent where the one to come names none.
func between(from, to *v1alpha1.NodeAgentSpec) []disruption.Change {
	next := *to
	next.Cluster, next.Revision, next.Repair = from.Cluster, from.Revision, from.Repair
	if next.Agent == nil {
		next.Agent = from.Agent
	}
	return disruption.Between(from, &next)
}

// state says where a machine is on its way, as the end of a sentence that begins with its name.
func (m *machine) state(target string) string {
	switch {
	case m.agent == nil:
		return "has no NodeAgent"
	case m.agent.Spec.Revision != target && m.settled():
		return "is next"
	case m.silent():
		return fmt.Sprintf("was given revision %s, and nothing is heard of it", m.agent.Spec.Revision)
	case !m.heardOf() || m.agent.Status.Phase == "":
		return fmt.Sprintf("is given revision %s", m.agent.Spec.Revision)
	case m.due != nil && m.agent.Status.Phase == v1alpha1.PhaseCommitted:
		return fmt.Sprintf("runs revision %s, and has yet to change to agent %s%s", m.agent.Status.CurrentRevision, m.due.Version, m.whyDue())
	case !m.settled():
		return fmt.Sprintf("is in %s with revision %s%s", m.agent.Status.Phase, m.agent.Spec.Revision, m.whyStaging())
	case !m.well():
		what := fmt.Sprintf("runs revision %s and is not ready", m.agent.Status.CurrentRevision)
		if complaint := Complaint(m.Machine); complaint != "" {
			what += ": " + complaint
		}
		return what
	case m.byItsAgent(m.told):
		return "went back from " + m.wayBack()
	default:
		return "runs revision " + m.agent.Status.CurrentRevision
	}
}

// whyStaging is what the agent says of itself while nothing of what it runs is touched yet, as the end of a sentence: that may
// last, where a bundle cannot be fetched, say.
func (m *machine) whyStaging() string {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	if m.agent.Status.Phase != v1alpha1.PhaseStaging || c == nil || c.Message == "" {
		return ""
	}
	return ": " + v1alpha1.Shorten(c.Message, maxComplaint)
}

// Progress is what the planner looks at in the status of a NodeAgent.
func Progress(agent *v1alpha1.NodeAgent) v1alpha1.NodeAgentStatus {
	s := agent.Status
	return v1alpha1.NodeAgentStatus{
		ObservedGeneration: s.ObservedGeneration, Phase: s.Phase, CurrentRevision: s.CurrentRevision, PreviousRevision: s.PreviousRevision, FailedRevision: s.FailedRevision,
		Agent: s.Agent,
	}
}
