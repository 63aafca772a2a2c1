// Command kubectl-drover is a kubectl plugin: `kubectl drover tree` shows node pools, their machines, and what runs on
// each, with what is wrong on top; `kubectl drover plan` says what is done to a pool's machines, also by an edit that is not applied
// yet, and `kubectl drover why` what keeps one from being as it should.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/cmd/kubectl-drover/explain"
	"github.com/drover-dev/drover/cmd/kubectl-drover/tree"
	"github.com/drover-dev/drover/version"
)

func main() {
	root := &cobra.Command{
		Use:           "kubectl-drover",
		Short:         "See what Drover's node pools are doing",
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl drover"},
	}
	root.AddCommand(tree.NewCommand(), explain.NewPlanCommand(), explain.NewWhyCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
