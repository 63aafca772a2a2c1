// Command kubectl-drover is a kubectl plugin: `kubectl drover tree` shows node pools, their machines, and what runs on
// each, with what is wrong on top.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

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
	root.AddCommand(tree.NewCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
