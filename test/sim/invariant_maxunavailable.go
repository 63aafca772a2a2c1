package sim

import (
	"fmt"
	"slices"
	"strings"
)

// maxUnavailable: of the nodes on which anything ever worked, no more are changed at a time than may be unavailable, by default one. The
// change of a node begins when it is cordoned for it or its NodeAgent written, and is over when its agent has settled, it is not
// cordoned, and its Machine is Available. Where the pool's status was lost since it began, with its name, it is when the agent has settled: a
// cache of Machines that is late may have its Machine as it was before.
var maxUnavailable = &invariant{name: "max-unavailable", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if !d.disrupts() || d.verb == deletes || w.unknowable(d) {
			return nil
		}
		// One that was named when more might be unavailable is changed, whatever the limit is since; and one whose change goes on is no
		// further one, whatever the limit was when it began.
		others := slices.DeleteFunc(w.others(d.name()), func(other string) bool { return w.lost.After(w.changing[other]) && !w.changes(other) })
		most := max(w.named[d.name()], w.most(d.by, asked.most))
		for _, other := range others {
			if !d.begins {
				most = max(most, w.named[other])
			}
		}
		if len(others) < most {
			return nil
		}
		states := make([]string, 0, len(others))
		for _, other := range others {
			states = append(states, fmt.Sprintf("%s since %s, %s", other, clock(w.changing[other].Sub(epoch)), w.state(other)))
		}
		return fmt.Errorf("%s is %s, where %d may be unavailable, and the change of %d is not over: %s", d.name(), d.verb, most, len(others), strings.Join(states, "; "))
	}
}}

func (w *watch) state(name string) string {
	agent, node := w.world.agent(name), w.world.node(name)
	if agent == nil {
		return "it has no NodeAgent"
	}
	return fmt.Sprintf("%s with revision %s, cordoned %t, available %t", agent.Status.Phase, agent.Spec.Revision, node != nil && node.Spec.Unschedulable, available(w.world.machine(name)))
}
