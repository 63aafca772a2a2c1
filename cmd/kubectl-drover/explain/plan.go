package explain

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/cmd/kubectl-drover/connection"
)

// NewPlanCommand returns `kubectl drover plan`.
func NewPlanCommand() *cobra.Command {
	var flags *connection.Flags
	var manager *string
	var file string
	cmd := &cobra.Command{
		Use:   "plan POOL",
		Short: "Say what is done to a node pool's machines, in what order, and why or why not yet",
		Long: `Say what is done to a node pool's machines, in what order, and why or why not yet.

The plan is made by the manager's own code, from what the API server has now. Nothing is written. With a file, the pool is planned for
as it would be once the file is applied, its values being valid; kubectl apply --dry-run=server says whether they are.`,
		Example: `  # What goes on in a pool
  kubectl drover plan workers
  # What an edit would do, before it is applied
  kubectl drover plan workers --filename=edited.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.Run(cmd.Context(), func(ctx context.Context, c *connection.Connection) error {
				pool, err := readPool(ctx, c, args[0])
				if err != nil {
					return err
				}
				if file != "" {
					manifest, err := readEdited(file, pool, cmd.InOrStdin())
					if err != nil {
						return err
					}
					if pool, err = edit(pool, manifest); err != nil {
						return err
					}
				}
				told, err := foresee(ctx, c, pool, *manager)
				if err != nil {
					return err
				}
				return renderPlan(cmd.OutOrStdout(), told)
			})
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "A file with the pool as it is to be, or - for standard input")
	manager = managerFlag(cmd)
	flags = connection.AddTo(cmd)
	return cmd
}
