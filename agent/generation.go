package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// generation is a desired state with what the machine itself adds to it. The current one is on disk, so that a
// restart needs nobody.
type generation struct {
	// Bootstrap has the state; its token is always empty here.
	node.Bootstrap
	// ObservedGeneration is the generation of the NodeAgent that the state came from, 0 for the bootstrap document.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// MachineUID is that of the Machine that this machine joined as; empty when no NodeAgent has told it yet.
	MachineUID string `json:"machineUID,omitempty"`
	// NodeIP is the address that the components were last configured with, and MTU the one of its interface: a restart
	// goes on with them while they cannot be found out.
	NodeIP string `json:"nodeIP,omitempty"`
	MTU    int    `json:"mtu,omitempty"`
}

func generationPath(stateDir string) string {
	return filepath.Join(stateDir, "generations", "current.json")
}

// WantedBy is the state that a bootstrap document asks for.
func WantedBy(path string) (*v1alpha1.NodeAgentSpec, error) {
	b, err := loadBootstrap(path)
	if err != nil {
		return nil, err
	}
	return &b.Spec, nil
}

// loadBootstrap reads the document that the infrastructure provider put on the machine.
func loadBootstrap(path string) (*node.Bootstrap, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the bootstrap document: %w; the infrastructure provider puts it on the machine", err)
	}
	var b node.Bootstrap
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("read the bootstrap document %s: %w", path, err)
	}
	if b.NodeName == "" || b.Spec.Cluster.Server == "" {
		return nil, fmt.Errorf("the bootstrap document %s names no node or no API server", path)
	}
	return &b, nil
}

// loadCommitted is the generation that a node's earlier agent made the current one, nil when there is none.
func loadCommitted(stateDir, node string) (*generation, error) {
	data, err := os.ReadFile(generationPath(stateDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the current generation: %w", err)
	}
	g := &generation{}
	if json.Unmarshal(data, g) != nil || g.NodeName != node {
		g = nil // half written or another node's: of no use
	}
	return g, nil
}

// firstGeneration is the bootstrap document's.
func firstGeneration(b *node.Bootstrap) *generation {
	g := &generation{Bootstrap: *b}
	g.Token = ""
	return g
}

// commit makes g the generation that a restart begins with.
func (g *generation) commit(stateDir string) error {
	data, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode the current generation: %w", err)
	}
	_, err = atomicfile.WriteIfChanged(generationPath(stateDir), data, 0o600)
	return err
}

// next is g with the state of its NodeAgent.
func (g *generation) next(agent *v1alpha1.NodeAgent) *generation {
	n := *g
	n.Spec, n.ObservedGeneration = *agent.Spec.DeepCopy(), agent.Generation
	n.MachineUID = cmp.Or(g.MachineUID, agent.Labels[v1alpha1.MachineUIDLabel])
	return &n
}

// at is g with the address that it is configured with.
func (g *generation) at(nodeIP string, mtu int) *generation {
	n := *g
	n.NodeIP, n.MTU = nodeIP, mtu
	return &n
}

// image is the bundle for an architecture.
func image(spec *v1alpha1.NodeAgentSpec, architecture string) (string, error) {
	for _, a := range spec.Artifacts {
		if a.Architecture == architecture {
			return a.Image, nil
		}
	}
	return "", fmt.Errorf("the NodeBundle of %s has no image for %s: delete that NodeBundle, apply one that has it, and then delete this Machine", spec.Version, architecture)
}
