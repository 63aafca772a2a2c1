package nodeagent

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Reconciler keeps the NodeAgent, the Node's labels and taints and the Machine's condition of each Machine of a pool.
type Reconciler struct {
	// Client reads from the manager's cache and writes. Default: the manager's.
	Client client.Client
	// APIReader reads live. Default: the manager's.
	APIReader client.Reader
}

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(_ context.Context, _ ctrl.Manager) error {
	return nil
}
