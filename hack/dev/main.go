// Command dev (built as drover-dev) starts and ends a development world on this host: a control plane, Drover's
// manager and, for the demo, a pool of local machines with a workload on it. `make demo` and `make down` call it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/hack/dev/demo"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/progress"
	"github.com/drover-dev/drover/hack/dev/server"
	"github.com/drover-dev/drover/hack/dev/world"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\n%s\n", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var repository, after string
	root := &cobra.Command{
		Use:           "drover-dev",
		Short:         "A development world: a control plane, Drover's manager and local machines on this host",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&repository, "repository", ".", "the checkout whose .drover holds everything")
	root.PersistentFlags().StringVar(&after, "after", "", "a file of the steps done before, to go on from")
	add := func(use, short string, run func(context.Context, *world.World) error) {
		root.AddCommand(&cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return withWorld(cmd.Context(), repository, after, run)
		}})
	}
	add("up", "Start the control plane and the manager, without any pool", func(ctx context.Context, w *world.World) error { return w.Up(ctx) })
	add("demo", "Start the world, make a pool of two nodes, run a Deployment and call its Service", demo.Run)
	add("down", "Remove everything that was started", func(ctx context.Context, w *world.World) error { return w.Down(ctx) })
	add("preflight", "Find out whether a world can be started here", func(_ context.Context, w *world.World) error { return w.Preflight() })
	add("status", "Say whether a world runs", status)
	add("idle", "Fail if a world runs, or is half there", idle)
	add("running", "Fail unless a world runs", running)
	root.AddCommand(upgradeCommand(&repository, &after))
	add("vm", "Start a virtual machine beside the running world, and write a sample that makes it a node", server.Run)
	return root
}

func upgradeCommand(repository, after *string) *cobra.Command {
	var versions demo.Versions
	command := &cobra.Command{
		Use: "upgrade", Short: "Upgrade a pool of the running world under load, then give it a kubelet that does not work", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withWorld(cmd.Context(), *repository, *after, demo.Upgrade(versions))
		},
	}
	flags := command.Flags()
	flags.StringVar(&versions.From, "from", "", "the Kubernetes version that the pool's nodes begin with")
	flags.StringVar(&versions.To, "to", "", "the one that they are upgraded to")
	flags.StringVar(&versions.Broken, "broken", "", "the one whose kubelet does not work")
	for _, name := range []string{"from", "to", "broken"} {
		_ = command.MarkFlagRequired(name) // the flag exists
	}
	return command
}

func withWorld(ctx context.Context, repository, after string, run func(context.Context, *world.World) error) error {
	l, err := layout.New(repository)
	if err != nil {
		return err
	}
	p := progress.New(os.Stdout, isatty.IsTerminal(os.Stdout.Fd()), time.Now)
	if after != "" {
		if err := p.After(after); err != nil {
			return err
		}
	}
	w, release, err := world.Open(l, p)
	if err != nil {
		return err
	}
	defer release()
	return run(ctx, w)
}

func status(_ context.Context, w *world.World) error {
	left, err := w.Leftovers()
	fmt.Printf("The development world is %s.\n", w.State())
	for _, line := range left {
		fmt.Println("  " + line)
	}
	return err
}

func running(_ context.Context, w *world.World) error {
	if w.State() != world.Running {
		return errors.New("no demo runs in this checkout, whose bridge the virtual machine is attached to: run `make demo` first")
	}
	return nil
}

func idle(_ context.Context, w *world.World) error {
	switch w.State() {
	case world.Running:
		return errors.New("a demo runs in this checkout, and the tests need its network and ports: run `make down` first")
	case world.Broken:
		return errors.New("an earlier run was left half-way: run `make down` first")
	}
	left, err := w.VirtualMachines()
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s: run `make down` first", strings.Join(left, ", "))
	}
	return err
}
