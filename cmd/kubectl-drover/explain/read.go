package explain

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/cmd/kubectl-drover/connection"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/stop"
)

// readPool reads a pool of the namespace that the user means.
func readPool(ctx context.Context, c *connection.Connection, name string) (*v1alpha1.NodePool, error) {
	pool := &v1alpha1.NodePool{}
	err := c.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, pool)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("no node pool is called %s in namespace %s", name, c.Namespace)
	}
	return pool, err
}

// managerFlag adds the flag that says where the manager is, beside which is the switch that stops the fleet.
func managerFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("manager-namespace", "drover-system", "The namespace that the manager is in, and the ConfigMap that stops the fleet")
}

// foresee plans for a pool as the manager does that is in that namespace.
func foresee(ctx context.Context, c *connection.Connection, pool *v1alpha1.NodePool, manager string) (planner.Explanation, error) {
	asks, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return planner.Explanation{}, err
	}
	told, err := nodepool.Foresee(ctx, c, pool, &nodepool.ServerVersion{Of: asks}, &stop.Switch{Reader: c, Namespace: manager})
	if apierrors.IsForbidden(err) {
		err = fmt.Errorf("%w: ask for the ClusterRoles drover-viewer and drover-planner, bound for the whole cluster", err)
	}
	return told, err
}
