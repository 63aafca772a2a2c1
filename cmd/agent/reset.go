package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/reset"
	"github.com/drover-dev/drover/api/node"
)

func newReset() *cobra.Command {
	opts := reset.Options{Paths: component.DefaultPaths()}
	verify := false
	cmd := &cobra.Command{
		Use: "reset", Short: "Remove from this machine all that the agent made", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Out = cmd.OutOrStdout()
			opts.CgroupRoot = host.NewSystem().CgroupRoot()
			if verify {
				return nothingLeft(opts)
			}
			return reset.Run(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "remove nothing, print what is left and fail if there is anything")
	cmd.Flags().StringVar(&opts.StateDir, "state-dir", node.StateDir, "the agent's state directory")
	cmd.Flags().StringVar(&opts.RunDir, "run-dir", node.RunDir, "the agent's run directory")
	return cmd
}

// nothingLeft fails with a list of what is left.
func nothingLeft(opts reset.Options) error {
	left, err := reset.Left(opts)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("left on this machine: %s", strings.Join(left, ", "))
	}
	_, err = fmt.Fprintln(opts.Out, "Nothing of Drover is left")
	return err
}

// newHalt is what systemd runs at a shutdown.
func newHalt() *cobra.Command {
	opts := reset.Options{Paths: component.DefaultPaths()}
	cmd := &cobra.Command{
		Use: "halt", Short: "End the node's pods and components and remove nothing, as before a shutdown", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Out = cmd.OutOrStdout()
			opts.CgroupRoot = host.NewSystem().CgroupRoot()
			return reset.Halt(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.StateDir, "state-dir", node.StateDir, "the agent's state directory")
	cmd.Flags().StringVar(&opts.RunDir, "run-dir", node.RunDir, "the agent's run directory")
	return cmd
}
