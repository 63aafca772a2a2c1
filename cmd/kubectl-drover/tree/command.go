package tree

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// timeout bounds the reading: a plugin that hangs is worse than one that says so.
const timeout = 30 * time.Second

// NewCommand returns `kubectl drover tree`.
func NewCommand() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
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
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			config, err := flags.ToRESTConfig()
			if err != nil {
				return err
			}
			namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
			if err != nil {
				return err
			}
			if allNamespaces {
				namespace = ""
			}
			c, err := client.New(config, client.Options{Scheme: scheme()})
			if err != nil {
				return err
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
		},
	}
	cmd.Flags().BoolVarP(&allNamespaces, "all-namespaces", "A", false, "Show the pools of all namespaces")
	flags.AddFlags(cmd.Flags())
	return cmd
}
