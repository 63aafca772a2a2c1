package agent

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

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
	if made, known := b.GroupVersionKind(), v1alpha1.GroupVersion.WithKind(node.BootstrapKind); !made.Empty() && made != known {
		return nil, fmt.Errorf("the bootstrap document %s is a %s of %s, and this agent knows a %s of %s: give the machine the agent that belongs to its manager",
			path, made.Kind, made.GroupVersion(), known.Kind, known.GroupVersion())
	}
	if b.NodeName == "" || b.Spec.Cluster.Server == "" {
		return nil, fmt.Errorf("the bootstrap document %s names no node or no API server", path)
	}
	return &b, nil
}
