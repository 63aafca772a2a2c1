package sim

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// canaryFirst: where a pool has a canary, no node that works begins to be changed to a revision beyond as many as that has, before as
// many have been well with it, and have been for as long as the canary soaks. A canary that was changed, or taken away, since the revision
// was first seen counts as it was when it asked for least; and one whose revision was another's meanwhile has soaked.
var canaryFirst = &invariant{name: "canary-first", watches: func(w *watch) func(deed) error {
	c := &canaries{watch: w, proofs: map[string]*proof{}}
	return c.see
}}

// canaries know how far each revision has proved itself.
type canaries struct {
	*watch
	pool   string
	proofs map[string]*proof
	// revision is the one that the pool's status has, and since when.
	revision string
	since    time.Time
}

// proof is how far a revision has proved itself.
type proof struct {
	// size and soak are the least that a canary was asked for since the revision was first seen.
	size int
	soak time.Duration
	// at is when as many nodes were well with it first; zero for not yet.
	at time.Time
}

func (c *canaries) see(d deed) error {
	if c.pool != c.uid {
		c.pool, c.revision = c.uid, ""
		clear(c.proofs)
	}
	if d.kind == pools {
		c.asksFor(d)
	}
	if d.kind == machines || d.kind == agents {
		c.count()
	}
	if d.verb == tells && d.begins && !c.unknowable(d) && !c.namedAt[d.name()].Before(d.by.begun) {
		return c.isFirst(d)
	}
	return nil
}

// asksFor notes what the pool asks for now, and what revision its status has.
func (c *canaries) asksFor(d deed) {
	if d.after == nil {
		return
	}
	for _, p := range c.proofs {
		p.lessen(c.last())
	}
	if revision := as[*v1alpha1.NodePool](d.after).Status.Revision; revision != c.revision {
		c.revision, c.since = revision, c.world.now
		c.of(revision, d.by)
	}
}

// of is how far a revision is, which is seen first in a manager's round if it was not before.
func (c *canaries) of(revision string, by *manager) *proof {
	if c.proofs[revision] == nil {
		p := &proof{size: mostNodes, soak: day}
		for _, a := range c.during(by) {
			p.lessen(a)
		}
		c.proofs[revision] = p
	}
	return c.proofs[revision]
}

// mostNodes is more than any canary has.
const mostNodes = 1000

func (p *proof) lessen(a asked) {
	canary := ptr.Deref(a.spec.Rollout.Canary, v1alpha1.RolloutCanary{})
	p.size, p.soak = min(p.size, a.canary()), min(p.soak, time.Duration(ptr.Deref(canary.SoakSeconds, 0))*time.Second)
}

// canary is how many nodes are the canary; 0 for none.
func (a asked) canary() int {
	if a.spec.Rollout.Canary == nil {
		return 0
	}
	return min(int(ptr.Deref(a.spec.Rollout.Canary.Replicas, 1)), a.replicas())
}

// count notes what has proved itself on as many nodes as its canary has.
func (c *canaries) count() {
	well := map[string]int{}
	for _, m := range c.world.machines() {
		if b, agent := c.world.boxes[m.Name], c.world.agent(m.Name); b != nil && b.good != "" && available(m) && (agent == nil || agent.Spec.Revision != b.good || hasItsAgent(agent)) {
			well[b.good]++
		}
	}
	for revision, p := range c.proofs {
		if p.at.IsZero() && well[revision] >= p.size {
			p.at = c.world.now
		}
	}
}

// isFirst says whether a node may be told to run what it is.
func (c *canaries) isFirst(d deed) error {
	agent := as[*v1alpha1.NodeAgent](d.after)
	if !c.asksForIt(d.by, agent) {
		return nil // It is given back what it ran.
	}
	given, p := 0, c.of(agent.Spec.Revision, d.by)
	for _, m := range c.world.machines() {
		other := c.world.agent(m.Name)
		if m.Name != d.name() && other != nil && other.Spec.Revision == agent.Spec.Revision && m.Status.NodeRef.IsDefined() {
			given++
		}
	}
	switch {
	case p.size == 0 || given < c.most(d.by, asked.canary):
		return nil
	case p.at.IsZero():
		return fmt.Errorf("%s is told to run revision %s, which %d were told to, and never were %d well with it together", d.name(), agent.Spec.Revision, given, p.size)
	case c.revision == agent.Spec.Revision && !p.at.Before(c.since) && d.by.begun.Before(p.at.Add(p.soak-2*time.Second)): // a status has no parts of a second
		return fmt.Errorf("%s is told to run revision %s, which the canary of %d was well with for %s of %s", d.name(), agent.Spec.Revision, p.size, d.by.begun.Sub(p.at), p.soak)
	default:
		return nil
	}
}
