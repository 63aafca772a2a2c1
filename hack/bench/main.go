package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/drover-dev/drover/agent/machineinit"
	"github.com/drover-dev/drover/hack/bench/raw"
)

// options are the command line's.
type options struct {
	repository string
	runs       int
	podRuns    int
	only       string
	all        bool
	hold       bool
	from       versions
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\n%s\n", err)
		os.Exit(1)
	}
}

// run is the benchmark, or, as a raw machine calls this program, that machine's init or its only service.
func run(ctx context.Context) error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "init":
			os.Exit(machineinit.Main(os.Args[2:]))
		case "run":
			return raw.Run(ctx)
		}
	}
	var opts options
	flag.StringVar(&opts.repository, "repository", ".", "the checkout whose .drover holds everything")
	flag.IntVar(&opts.runs, "runs", 5, "how many times each start is measured")
	flag.IntVar(&opts.podRuns, "pods", 25, "how many pods are started on each node")
	flag.StringVar(&opts.only, "only", "", "phases to run, such as starts,memory (default: every one)")
	flag.BoolVar(&opts.all, "all", false, "run the Go benchmarks of large fleets too, which takes minutes more")
	flag.BoolVar(&opts.hold, "hold", false, "measure nothing: start one raw node, and keep it until interrupted")
	flag.StringVar(&opts.from.patch, "patch-from", "", "the version that a node is upgraded from in place; its bundle was made")
	flag.StringVar(&opts.from.minor, "minor-from", "", "the version of another minor one that a node is upgraded from, drained")
	flag.StringVar(&opts.from.broken, "broken", "", "the version of a bundle whose kubelet ends at once")
	flag.Parse()
	return measure(ctx, opts)
}
