package sim

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// onlyTheTemplateRolls: a node is changed only to what the pool's template says, and only when that is another thing than it was told
// before. Where a pool takes back what fails, and a node went back from what this one was told, it is changed to what worked on a node.
var onlyTheTemplateRolls = &invariant{name: "only-the-template-rolls", watches: func(w *watch) func(deed) error {
	wentBackFrom, worked := map[string]bool{}, map[string]bool{}
	return func(d deed) error {
		if d.kind == agents && d.after != nil && d.by == nil {
			status := as[*v1alpha1.NodeAgent](d.after).Status
			wentBackFrom[w.world.wentBackFrom(d.name())] = true
			worked[status.CurrentRevision] = worked[status.CurrentRevision] || status.Phase == v1alpha1.PhaseCommitted && hasItsAgent(as[*v1alpha1.NodeAgent](d.after))
		}
		if d.by == nil || d.verb != tells {
			return nil
		}
		before, after := as[*v1alpha1.NodeAgent](d.before), as[*v1alpha1.NodeAgent](d.after)
		if equality.Semantic.DeepEqual(content(before), content(after)) {
			return fmt.Errorf("%s is told to run revision %s, which asks for what it was told before", d.name(), after.Spec.Revision)
		}
		takenBack := slices.ContainsFunc(w.during(d.by), asked.takesBack) && wentBackFrom[before.Spec.Revision] && worked[after.Spec.Revision]
		if !w.asksForIt(d.by, after) && !takenBack {
			return fmt.Errorf("%s is told to run %s, which is not what the pool's template says", d.name(), content(after))
		}
		if takenBack {
			w.world.tally.TakenBack++
		}
		return nil
	}
}}

// asksForIt says that a pool's template asked for what a node is told at some time of a manager's present round.
func (w *watch) asksForIt(by *manager, agent *v1alpha1.NodeAgent) bool {
	return slices.ContainsFunc(w.during(by), func(a asked) bool {
		return a.isAskedFor(agent)
	})
}

// isAskedFor says that a template asks for what a node is told.
func (a asked) isAskedFor(agent *v1alpha1.NodeAgent) bool {
	spec := a.spec.Template.Spec
	return spec.Version == agent.Spec.Version && equality.Semantic.DeepEqual(spec.NodeSettings, agent.Spec.NodeSettings) && equality.Semantic.DeepEqual(spec.Agent, agent.Spec.Agent)
}

// takesBack says that nodes are given back what they ran, where one went back by itself.
func (a asked) takesBack() bool { return a.spec.Rollout.OnFailure == v1alpha1.RolloutOnFailureRollback }

// wentBackFrom is what a node went back from last.
func (w *world) wentBackFrom(name string) string {
	b, agent := w.boxes[name], w.agent(name)
	switch {
	case agent != nil && agent.Status.ObservedGeneration == agent.Generation && gaveItsAgentUp(agent):
		return agent.Spec.Revision
	case b != nil && b.failed != nil:
		return b.failed.Revision
	default:
		return ""
	}
}

func content(a *v1alpha1.NodeAgent) string {
	return fmt.Sprintf("%s, maxPods %d, %v, agent %v", a.Spec.Version, ptr.Deref(a.Spec.Kubelet.MaxPods, 0), a.Spec.Artifacts, a.Spec.Agent)
}
