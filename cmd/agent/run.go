package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/drover-dev/drover/agent"
	"github.com/drover-dev/drover/agent/notify"
	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/api/node"
)

func newRun() *cobra.Command {
	var opts agent.Options
	var nodeIP, level string
	cmd := &cobra.Command{
		Use: "run", Short: "Be the agent of this node", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return err
			}
			if nodeIP != "" {
				if opts.NodeIP, err = netip.ParseAddr(nodeIP); err != nil {
					return fmt.Errorf("--node-ip: %w", err)
				}
			}
			opts.Version, opts.Log = version, log
			return run(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.BootstrapPath, "bootstrap", node.BootstrapPath, "the bootstrap document")
	flags.StringVar(&opts.StateDir, "state-dir", node.StateDir, "what must survive a reboot")
	flags.StringVar(&opts.RunDir, "run-dir", node.RunDir, "what must not survive a reboot")
	flags.StringVar(&nodeIP, "node-ip", "", "the node's address (default: the source address of packets to the API server)")
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// run is the agent, or the one that is to run in its place.
func run(ctx context.Context, opts agent.Options) error {
	runner, programs := notify.FromEnvironment(), agent.Programs(opts.StateDir, opts.Log)
	programs.Become(runner)
	opts.Ready = func() {
		if err := runner.Say(notify.Ready); err != nil {
			opts.Log.Error(err, "Could not say that the agent is ready")
		}
	}
	if programs.OnTrial() == "" {
		opts.Ready() // whatever comes of it, it is this one that has to deal with it
	}
	err := live(ctx, opts, runner)
	switch {
	case errors.Is(err, selfupdate.ErrRestart):
		return nil
	case errors.Is(err, selfupdate.ErrGivenUp) || programs.OnTrial() == "":
	case ctx.Err() != nil:
		programs.Excuse()
	case err != nil:
		programs.Said(err)
	}
	return err
}

// live is the agent.
func live(ctx context.Context, opts agent.Options, runner notify.Runner) error {
	unlock, err := service.Lock(opts.RunDir)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := agent.New(opts)
	if err != nil {
		return err
	}
	go saveMemory(ctx)
	go runner.KeepSaying(ctx, a.Look)
	return a.Run(ctx)
}

// newLogger writes lines of text to standard error, client-go's included.
func newLogger(level string) (logr.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return logr.Logger{}, fmt.Errorf("--log-level %q: take debug, info, warn or error", level)
	}
	log := logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
	klog.SetLogger(log.WithName("client-go"))
	return log, nil
}
