package join

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TokenReconciler makes the join token and the bootstrap Secret of each Machine of a pool.
type TokenReconciler struct {
	// Client reads from the manager's cache and writes. Default: the manager's.
	Client client.Client
	// APIReader reads live. Secrets are read with it alone, so no Secret needs to be cached. Default: the manager's.
	APIReader client.Reader
}

// SetupWithManager registers the reconciler.
func (r *TokenReconciler) SetupWithManager(_ context.Context, _ ctrl.Manager) error {
	return nil
}
