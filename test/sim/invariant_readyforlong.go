package sim

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// readyForLong: a node that was changed counts as one that is being changed until it has been well with what the template asks for as long as
// spec.rollout.minReadySeconds, and a machine that was made takes the place of no other before. A time that was shortened since counts as it was
// when it was shortest, and of a status that was lost nobody knows whom it named as changed.
var readyForLong = &invariant{name: "ready-for-long", watches: func(w *watch) func(deed) error {
	r, g := &resting{watch: w, over: map[string]span{}}, &givingWay{watch: w}
	return func(d deed) error {
		defer r.see(d)
		if !g.givesWay(d) {
			return r.isWaitedFor(d)
		}
		steady := func(m *clusterv1.Machine) bool { return available(m) && (w.isSteady(d.by, m) || w.isAged(d.by, m)) }
		if others, least := w.inPlace(steady), w.least(d.by, asked.least); others < least {
			return fmt.Errorf("Machine %s is deleted for another, and %d have been ready for long enough, where the pool asks for %d", d.name(), others, least) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}

// resting knows since when nodes are well after their change.
type resting struct {
	*watch
	over map[string]span
}

// span is from when a change began until it was over.
type span struct{ began, over time.Time }

// see notes of a change that it goes on, until it does no more.
func (r *resting) see(d deed) {
	if began, is := r.changing[d.name()]; is && (d.kind == machines || d.kind == agents || d.kind == nodes) {
		r.over[d.name()] = span{began, r.world.now}
	}
}

// isWaitedFor says whether the change of a node may begin, with those that rest.
func (r *resting) isWaitedFor(d deed) error {
	if !d.begins || d.verb == deletes || r.unknowable(d) || r.namedAt[d.name()].Before(d.by.begun) && r.isNamed(d.name()) {
		return nil
	}
	others, most := r.others(d.name()), max(r.named[d.name()], r.most(d.by, asked.most))
	var rests []string
	for _, m := range r.world.machines() {
		if m.Name != d.name() && !slices.Contains(others, m.Name) && r.rests(d.by, m) {
			rests = append(rests, fmt.Sprintf("%s, well since %s", m.Name, clock(r.over[m.Name].over.Sub(epoch))))
		}
	}
	if len(rests) == 0 || len(others)+len(rests) < most {
		return nil
	}
	return fmt.Errorf("%s is %s, where %d may be unavailable, %d are changed, and these have to stay ready: %v", d.name(), d.verb, most, len(others), rests)
}

// rests says that a manager which began its round when it did had to see a machine as one whose change is over for too short a time.
func (r *resting) rests(by *manager, m *clusterv1.Machine) bool {
	change, changed := r.over[m.Name]
	agent := r.world.agent(m.Name)
	if _, goesOn := r.changing[m.Name]; !changed || goesOn || agent == nil || !change.began.After(r.lost) {
		return false
	}
	return by.begun.Before(change.over.Add(r.shortest(change.over, agent) - 2*time.Second)) // a status has no parts of a second
}

// shortest is for how long a node had to stay well at the least, at any time since it was; not at all where the template asked for something
// else.
func (r *resting) shortest(since time.Time, agent *v1alpha1.NodeAgent) time.Duration {
	shortest := day
	for i := len(r.asked) - 1; i >= 0; i-- {
		a := r.asked[i]
		if !a.isAskedFor(agent) || !hasItsAgent(agent) {
			return 0
		}
		if shortest = min(shortest, a.minReady()); a.since.Before(since) {
			break
		}
	}
	return shortest
}

// minReady is how long a node has to stay well.
func (a asked) minReady() time.Duration {
	return time.Duration(ptr.Deref(a.spec.Rollout.MinReadySeconds, 0)) * time.Second
}

// isSteady says that a machine was Ready for as long as one that was made has to be.
func (w *watch) isSteady(by *manager, m *clusterv1.Machine) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineReadyCondition)
	least := time.Duration(w.least(by, func(a asked) int { return int(a.minReady()) }))
	return c != nil && !by.begun.Before(c.LastTransitionTime.Add(least-2*time.Second))
}
