// Command drover-agent turns a machine into a Kubernetes node and keeps it one.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent/machineinit"
)

// version is set by the linker (-X main.version=…).
var version = "devel"

func main() {
	// Init is the first process of a local machine: it must do nothing before it has the machine set up.
	if len(os.Args) > 1 && os.Args[1] == "init" {
		os.Exit(machineinit.Main(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drover-agent:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "drover-agent",
		Short:         "Turn this machine into a Kubernetes node and keep it one",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRun(), newReset(), newInstall(), newPreflight(), newPlan(), newDiagnose(), newRoutes(), newHalt(), newVersion(), newInit())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the agent's version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}

// newInit is there for the help text; main never gets here with it.
func newInit() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Be the first process of a local machine (the manager starts this)", DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) { os.Exit(machineinit.Main(args)) },
	}
}
