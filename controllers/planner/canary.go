package planner

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// canary is how far the nodes are that are given the target before the others. The zero canary is that of a rollout which has none.
type canary struct {
	// asked is how many nodes it is to have, and size how many it has: no more than the pool.
	asked, size int
	// given is how many nodes were told to run the target, and proved how many of them run it and are well. made is how many machines were
	// told, or are about to be made with it, nodes or not.
	given, made, proved int
	// provedAt is since when those are as many as the canary has, as far as was seen; zero while they are not.
	provedAt time.Time
	// soaks is until when they have to stay well.
	soaks time.Time
	// holds says that the others have to wait.
	holds bool
}

// newCanary is of a rollout whose machines are sorted. A canary that let the others go on holds them no more, whatever becomes of its
// nodes. What all nodes ran before, or as many run as it has when the rollout begins, is proved enough: whoever takes an edit back is in
// a hurry.
func newCanary(r *rollout) canary {
	spec := r.Pool.Spec.Rollout.Canary
	if spec == nil || r.Revision == "" {
		return canary{}
	}
	c := canary{asked: int(ptr.Deref(spec.Replicas, 1))}
	c.size = min(c.asked, r.want())
	c.made = max(0, r.want()-len(r.active))
	for _, m := range r.active {
		if m.told == r.target {
			c.made++
		}
		if m.agent == nil || m.told != r.target || !m.joined() {
			continue
		}
		c.given++
		if m.runs(r.target) && r.isSteady(m) && (!m.begun || r.isOver(m)) {
			c.proved++
		}
	}
	record := r.Pool.Status.Rollout
	proved, known := c.proved >= c.size, record != nil && record.Revision == r.Revision
	if proved {
		c.provedAt = r.Now.Truncate(time.Second)
		if known && record.Canary != nil && !record.Canary.ProvedAt.IsZero() {
			c.provedAt = record.Canary.ProvedAt.Time
		}
		c.soaks = c.provedAt.Add(time.Duration(ptr.Deref(spec.SoakSeconds, 0)) * time.Second)
	}
	switch {
	case r.reverts(), !slices.ContainsFunc(r.active, r.outdated): // there is no canary, or there are no others
	case record != nil && record.CompletedRevision == r.Revision:
	case known && (record.Phase == v1alpha1.RolloutPhaseRolling || record.Phase == v1alpha1.RolloutPhaseComplete):
	case record != nil && !known:
		c.holds = !proved
	default:
		c.holds = !proved || r.Now.Before(c.soaks)
	}
	return c
}

// isSoaking says that all of a canary run the target, and have to stay well for a while.
func (c canary) isSoaking() bool { return c.holds && !c.provedAt.IsZero() }

// says is how far the canary is, while others wait for it, as a part of a sentence.
func (c canary) says() string {
	switch {
	case c.isSoaking():
		return fmt.Sprintf("the canary of %d soaks until %s", c.size, c.soaks.UTC().Format(time.RFC3339))
	case c.holds && c.asked > c.size:
		return fmt.Sprintf("the pool has no more than %d, so all of it is the canary, of which spec.rollout.canary asks for %d", c.size, c.asked)
	case c.holds:
		return fmt.Sprintf("%s of %d in the canary", counted(c.proved, "is well", "are well"), c.size)
	default:
		return ""
	}
}

// status is how far it is, for the pool's status; nil without a canary.
func (c canary) status() *v1alpha1.RolloutCanaryStatus {
	if c.asked == 0 {
		return nil
	}
	status := &v1alpha1.RolloutCanaryStatus{Replicas: int32Pointer(c.size), ProvedReplicas: int32Pointer(min(c.proved, c.size))}
	if !c.provedAt.IsZero() {
		status.ProvedAt = metav1.NewTime(c.provedAt)
	}
	return status
}

// canaryFirst lets a change of a node, or its replacement, begin that is not the canary's only when that has proved itself. One that has
// begun goes on, machines without a Node are free, and so is one that all others wait for, the canary's included.
func canaryFirst(l *ledger, p *Proposal) (string, string) {
	c := l.rollout.canary
	if !c.holds || p.Verb == Update && p.Name == l.rollout.uncured() {
		return "", ""
	}
	u := l.unavailability()
	_, begun := u.place[p.Name]
	switch {
	case p.Verb == Update && p.Disrupts && !begun && c.given+u.untold >= c.size,
		p.Verb == Create && p.replaces() && c.made+u.untold+l.replaced[Create] >= c.size,
		l.replacement.goesFirst(p) && c.made+u.untold+l.replaced[Delete] >= c.size:
		return DeferredCanary, c.says()
	default:
		return "", ""
	}
}
