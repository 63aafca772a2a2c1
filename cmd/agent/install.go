package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/api/node"
)

func newInstall() *cobra.Command {
	var opts service.Options
	cmd := &cobra.Command{
		Use: "install", Short: "Have systemd run a copy of this agent on this machine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Out = cmd.OutOrStdout()
			spec, err := wanted(cmp.Or(opts.Bootstrap, node.BootstrapPath))
			if errors.Is(err, os.ErrNotExist) && opts.Bootstrap == "" {
				return fmt.Errorf("there is no bootstrap document at %s: give one with --bootstrap", node.BootstrapPath)
			}
			if err != nil {
				return err
			}
			if !opts.Installed() { // an agent that is replaced has its own preflight, and must not be kept from an upgrade
				report := host.NewSystem().Look(cmd.Context(), node.StateDir, spec, component.DefaultPaths().InUse())
				if err := writeReport(cmd.ErrOrStderr(), report); err != nil {
					return err
				}
			}
			if opts.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find the agent's own program: %w", err)
			}
			return service.Install(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Bootstrap, "bootstrap", "", "the bootstrap document to install (default: the one at "+node.BootstrapPath+")")
	cmd.Flags().StringVar(&opts.SHA256, "sha256", "", "this program's SHA-256 in hexadecimal, if its file stays as it is: then that is linked to (default: a copy is made)")
	return cmd
}
