package tree

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/cmd/kubectl-drover/connection"
)

// NewCommand returns `kubectl drover tree`.
func NewCommand() *cobra.Command {
	var flags *connection.Flags
	var allNamespaces bool
	cmd := &cobra.Command{
		Use:   "tree [POOL]",
		Short: "Show node pools, their machines, and what runs on each, problems first",
		Example: `  # The pools of the present namespace
  kubectl drover tree
  # One pool of another
  kubectl drover tree workers --namespace=web
  # All of them
  kubectl drover tree --all-namespaces`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.Run(cmd.Context(), func(ctx context.Context, c *connection.Connection) error {
				namespace := c.Namespace
				if allNamespaces {
					namespace = ""
				}
				fleet, err := Read(ctx, c, namespace)
				if err != nil {
					return err
				}
				if len(args) == 1 && !fleet.keepPool(args[0]) {
					return errors.New("no node pool is called " + args[0] + " here")
				}
				cmd.PrintErr(fleet.missing())
				return Render(cmd.OutOrStdout(), Build(fleet), time.Now())
			})
		},
	}
	cmd.Flags().BoolVarP(&allNamespaces, "all-namespaces", "A", false, "Show the pools of all namespaces")
	flags = connection.AddTo(cmd)
	return cmd
}
