package generation

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/drover-dev/drover/internal/atomicfile"
)

// Path is the file of the generation that runs, below the agent's state directory.
func Path(stateDir string) string { return filepath.Join(stateDir, "generations", "current.json") }

// Load reads the generation that a node's earlier agent had running; nil when there is none, and when what is there is
// another node's or cannot be understood. It fails where the file cannot be read.
func Load(stateDir, node string) (*Generation, error) {
	data, err := os.ReadFile(Path(stateDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the current generation: %w", err)
	}
	g := &Generation{}
	if json.Unmarshal(data, g) != nil || g.NodeName != node {
		g = nil // half written or another node's: of no use
	}
	return g, nil
}

// Save makes g the generation that a restart begins with.
func (g *Generation) Save(stateDir string) error {
	data, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode the current generation: %w", err)
	}
	_, err = atomicfile.WriteIfChanged(Path(stateDir), data, 0o600)
	return err
}
