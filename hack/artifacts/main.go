// Command artifacts makes what nodes and clusters download: the node bundle, the agent and the demo images, as OCI
// images on an empty base, from programs that are built already (or released by their upstreams).
//
//	artifacts build    everything a development cluster needs, into a directory the manager serves
//	artifacts bundle   a node bundle of another Kubernetes version beside it, and the NodeBundle to apply
//	artifacts release  a node bundle of upstreams' released binaries, from a list of URLs with SHA-256
//	artifacts image    one program as an image, such as the manager
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "artifacts:", err)
		return 1
	}
	return 0
}

func newCommand() *cobra.Command {
	command := &cobra.Command{Use: "artifacts", Short: "Makes bundles and images", SilenceUsage: true, SilenceErrors: true}
	command.AddCommand(newBuildCommand(), newBundleCommand(), newReleaseCommand(), newImageCommand())
	return command
}
