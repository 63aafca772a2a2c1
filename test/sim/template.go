package sim

import (
	"fmt"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var (
	versions = []string{"v1.36.5", "v1.37.2"}
	sizes    = []string{"small", "large"}
)

// template is what a user asks for.
type template struct {
	version, size string
	maxPods       int32
	label         string
	// agent is the version of the agent.
	agent string
}

func (t template) String() string {
	text := fmt.Sprintf("%s, maxPods %d, %s, agent %s", t.version, t.maxPods, t.size, t.agent)
	if t.fails() {
		text += ", which no node comes up with"
	}
	return text
}

// fails says that no node comes up with it, or keeps its agent.
func (t template) fails() bool { return bad(t.maxPods) || badRelease(t.agent) }

// bad says that no kubelet comes up with a setting.
func bad(maxPods int32) bool { return maxPods >= 200 }

// templateOf is one of those that users think of.
func templateOf(number int) template {
	t := template{version: versions[0], size: sizes[0], maxPods: int32(100 + number%6), agent: releases[0]} //nolint:gosec // small
	if number%4 == 0 {
		t.maxPods += 100
	}
	if number%3 == 0 {
		t.version = versions[1]
	}
	if number%11 == 0 {
		t.size = sizes[1]
	}
	return t
}

func (t template) write(p *v1alpha1.NodePool) {
	spec := &p.Spec.Template.Spec
	spec.Version, spec.Kubelet.MaxPods = t.version, ptr.To(t.maxPods)
	spec.Agent = agentRelease(t.agent)
	spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: kindNames[templates], Name: t.size}
	p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": v1alpha1.LabelValue(t.label)}
}
