package main

import (
	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent/service"
)

func newInstall() *cobra.Command {
	return &cobra.Command{
		Use: "install", Short: "Have systemd run the agent on this machine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return service.Install(cmd.Context(), cmd.OutOrStdout())
		},
	}
}
