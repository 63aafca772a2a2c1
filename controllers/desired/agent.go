package desired

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Release is a version of the agent as a revision has it, nil for none: its images are sorted by architecture, as their order says
// nothing.
func Release(release *v1alpha1.AgentRelease) *v1alpha1.AgentRelease {
	if release == nil {
		return nil
	}
	return &v1alpha1.AgentRelease{Version: release.Version, Artifacts: Sorted(release.Artifacts)}
}

// Leave takes out of a spec what is there only because of the revision that a node leaves: the agent that this names. One that somebody
// set by hand is another, and stays. The revision may be nil, where it is not known.
func Leave(spec *v1alpha1.NodeAgentSpec, revision *appsv1.ControllerRevision) {
	if revision == nil || spec.Agent == nil {
		return
	}
	if left, err := stored(revision); err == nil && sameRelease(left.Agent, spec.Agent) {
		spec.Agent = nil
	}
}

// hasRelease says whether a spec has the agent that a revision asks for. One that names none has nothing against any.
func hasRelease(spec, wanted *v1alpha1.NodeAgentSpec) bool {
	return wanted.Agent == nil || sameRelease(spec.Agent, wanted.Agent)
}

func sameRelease(a, b *v1alpha1.AgentRelease) bool {
	return equality.Semantic.DeepEqual(Release(a), Release(b))
}
