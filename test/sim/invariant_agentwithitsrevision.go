package sim

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// agentWithItsRevision: a node is told to have another version of the agent with the revision that names it and with none besides, so that it is one
// of those that are changed, for which a canary, budgets and the limit of unavailable nodes hold; and where a node gave a version up, none that works
// is told to have it.
var agentWithItsRevision = &invariant{name: "agent-with-its-revision", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.kind != agents || d.before == nil || d.after == nil {
			return nil
		}
		before, after := as[*v1alpha1.NodeAgent](d.before).Spec, as[*v1alpha1.NodeAgent](d.after).Spec
		if equality.Semantic.DeepEqual(before.Agent, after.Agent) {
			return nil
		}
		if before.Revision == after.Revision {
			return fmt.Errorf("%s is told to have agent %s, and runs revision %s as before", d.name(), after.Agent.Version, after.Revision)
		}
		for _, other := range w.world.machines() {
			if gaveUp := w.world.agent(other.Name); other.Name != d.name() && d.worked && gaveUp != nil && w.knowsGivenUp(d, other.Name, gaveUp) {
				return fmt.Errorf("%s is told to have agent %s of revision %s, which %s gave up", d.name(), after.Agent.Version, after.Revision, other.Name)
			}
		}
		return nil
	}
}}

// knowsGivenUp says that a manager which tells a node to run a revision must have seen that another, which was told that as well, gave its agent up.
// One that was made from it nobody reads anew for that.
func (w *watch) knowsGivenUp(d deed, name string, other *v1alpha1.NodeAgent) bool {
	return other.Spec.Revision == as[*v1alpha1.NodeAgent](d.after).Spec.Revision && settled(other) && gaveItsAgentUp(other) &&
		w.world.machine(name).Labels[v1alpha1.RevisionLabel] != other.Spec.Revision && !w.world.boxes[name].wentBack.After(d.by.begun)
}
