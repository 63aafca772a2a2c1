package nodepool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// checkAgent finds a version of the agent that has no image for a node of the pool, before any node is given it. What a machine is that
// has not joined yet is not known: its agent says so, and stays the one that it has.
func checkAgent(seen *observation) {
	release := seen.Pool.Spec.Template.Spec.Agent
	if release == nil {
		return
	}
	var there []string
	for _, artifact := range release.Artifacts {
		there = append(there, artifact.Architecture)
	}
	for _, m := range seen.Machines {
		info := m.Status.NodeInfo
		if info == nil || info.Architecture == "" || !m.DeletionTimestamp.IsZero() || slices.Contains(there, info.Architecture) {
			continue
		}
		seen.problem(planner.Problem{
			Reason: v1alpha1.ReasonAgentImageMissing,
			Message: fmt.Sprintf("Agent %s has images for %s, and Machine %s is of %s: add one for that to spec.template.spec.agent.artifacts",
				release.Version, strings.Join(there, ", "), m.Name, info.Architecture),
		})
		return
	}
}
