package join

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ApprovalReconciler approves or denies the certificate requests of agents and kubelets.
type ApprovalReconciler struct {
	// Client reads from the manager's cache and writes. Default: the manager's.
	Client client.Client
	// APIReader reads live. Default: the manager's.
	APIReader client.Reader
}

// SetupWithManager registers the reconciler.
func (r *ApprovalReconciler) SetupWithManager(_ context.Context, _ ctrl.Manager) error {
	return nil
}
