package generation

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Generation is a desired state with what the machine itself adds to it. The one that runs is on disk, so that a restart
// needs nobody. None is changed once it is there.
type Generation struct {
	// Bootstrap has the state; its token is always empty here.
	node.Bootstrap
	// ObservedGeneration is the generation of the NodeAgent that the state came from, 0 for the bootstrap document.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// NodeAgentUID is that of the NodeAgent, empty for the bootstrap document.
	NodeAgentUID types.UID `json:"nodeAgentUID,omitempty"`
	// MachineUID is that of the Machine that this machine joined as; empty when no NodeAgent has told it yet.
	MachineUID string `json:"machineUID,omitempty"`
	// NodeIP is the address that the components were last configured with, and MTU the one of its interface: a restart
	// goes on with them while they cannot be found out.
	NodeIP string `json:"nodeIP,omitempty"`
	MTU    int    `json:"mtu,omitempty"`
}

// First is the bootstrap document's. The agent's own version is no part of a generation: what became of that is not to be
// rolled back with this, nor the other way round. Nor is a repair that is asked for.
func First(b *node.Bootstrap) *Generation {
	g := &Generation{Bootstrap: *b}
	g.Token, g.Spec.Agent, g.Spec.Repair = "", nil, nil
	return g
}

// Next is g with the state of its NodeAgent.
func (g *Generation) Next(agent *v1alpha1.NodeAgent) *Generation {
	n := *g
	n.Spec, n.ObservedGeneration, n.NodeAgentUID = *agent.Spec.DeepCopy(), agent.Generation, agent.UID
	n.Spec.Agent, n.Spec.Repair = nil, nil
	n.MachineUID = cmp.Or(g.MachineUID, agent.Labels[v1alpha1.MachineUIDLabel])
	return &n
}

// Outdates says whether a NodeAgent is as it was before g: one of several API servers may answer from a cache that is behind.
func (g *Generation) Outdates(agent *v1alpha1.NodeAgent) bool {
	return agent.UID == g.NodeAgentUID && agent.Generation < g.ObservedGeneration
}

// At is g with the address that it is configured with.
func (g *Generation) At(nodeIP string, mtu int) *Generation {
	n := *g
	n.NodeIP, n.MTU = nodeIP, mtu
	return &n
}

// Image is the bundle for an architecture. The error says what to do where there is none.
func (g *Generation) Image(architecture string) (string, error) {
	for _, a := range g.Spec.Artifacts {
		if a.Architecture == architecture {
			return a.Image, nil
		}
	}
	return "", fmt.Errorf("the NodeBundle of %s has no image for %s: delete that NodeBundle, apply one that has it, and then delete this Machine", g.Spec.Version, architecture)
}

// Same is true for two generations that ask for the same: of one revision, and with the same facts of the cluster.
func Same(a, b *Generation) bool { return equality.Semantic.DeepEqual(a.Spec, b.Spec) }

// String is for logs.
func (g *Generation) String() string {
	return fmt.Sprintf("%s (generation %d)", g.Spec.Revision, g.ObservedGeneration)
}
