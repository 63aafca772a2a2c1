package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/conformance/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	command := &cobra.Command{Use: "conformance", Short: "Runs upstream's conformance tests", SilenceUsage: true, SilenceErrors: true}
	command.AddCommand(newImagesCommand(), newRunCommand())
	return command
}

func newImagesCommand() *cobra.Command {
	var set images.Set
	var names string
	command := &cobra.Command{
		Use:   "images --names FILE",
		Short: "Make stand-ins for the images that the tests use",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			list, err := os.ReadFile(names)
			if err != nil {
				return fmt.Errorf("read the names of the tests' images: %w", err)
			}
			return set.Write(command.Context(), strings.Fields(string(list)))
		},
	}
	flags := command.Flags()
	flags.StringVar(&names, "names", "", "file of the images' names, as the suite lists them")
	flags.StringVar(&set.Bin, "bin", ".drover/bin", "directory of agnhost, etcd, nonewprivs, pause and sample-apiserver")
	flags.StringVar(&set.Module, "kubernetes", "", "directory of Kubernetes' module")
	flags.StringVar(&set.Out, "out", ".drover/artifacts/"+repository, "directory of image layouts to write into")
	for _, required := range []string{"names", "kubernetes"} {
		_ = command.MarkFlagRequired(required) // the flags exist
	}
	return command
}
