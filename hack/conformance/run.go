package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// repository is where the artifact endpoint serves the tests' images.
const repository = "images/conformance"

// registries make the suite's pods pull from there what upstream's registries serve.
const registries = `gcRegistry: %[1]s
gcEtcdRegistry: %[1]s
promoterE2eRegistry: %[1]s
`

// cleanupTimeout is for what is done after the tests, whatever became of them.
const cleanupTimeout = 5 * time.Minute

// A node takes three tests at a time; more than six are too many for a host that is all of the nodes.
const (
	testsPerNode = 3
	mostTests    = 6
)

type runOptions struct {
	checkout, suite, ginkgo string
	labels, focus, node     string
	processes               int
	timeout                 time.Duration
	out                     string
}

func newRunCommand() *cobra.Command {
	var o runOptions
	command := &cobra.Command{
		Use:   "run",
		Short: "Run the tests against the world of this checkout",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return o.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	flags.StringVar(&o.checkout, "repository", ".", "the checkout whose .drover holds the world")
	flags.StringVar(&o.suite, "suite", "", "the program of the tests")
	flags.StringVar(&o.ginkgo, "ginkgo", "", "the program that runs them side by side")
	flags.StringVar(&o.out, "out", ".drover/conformance", "directory for the log and the reports")
	flags.StringVar(&o.labels, "labels", "NodeConformance && !Slow", "which tests to run, as ginkgo's label filter")
	flags.StringVar(&o.focus, "focus", "", "which of those to run, as a regular expression over their names")
	flags.StringVar(&o.node, "node", "", "where to run them: a node's name, or a selector of nodes' labels (default all nodes)")
	flags.IntVar(&o.processes, "processes", 0, "how many tests run at a time, but for those that need the fleet for themselves (default three for each node, and six at most)")
	flags.DurationVar(&o.timeout, "timeout", 3*time.Hour, "when to give up")
	for _, required := range []string{"suite", "ginkgo"} {
		_ = command.MarkFlagRequired(required) // the flags exist
	}
	return command
}

func (o *runOptions) run(ctx context.Context, w io.Writer) error {
	l, err := layout.New(o.checkout)
	if err != nil {
		return err
	}
	for _, path := range []*string{&o.suite, &o.ginkgo, &o.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	fleet, err := connect(ctx, l)
	if err != nil {
		return err
	}
	known, err := readKnown()
	if err != nil {
		return err
	}
	if o.node == "" {
		if err := fleet.openAll(ctx); err != nil {
			return err
		}
		return o.test(ctx, l, fleet, known, len(usable(fleet.nodes)), w)
	}
	chosen, err := choose(fleet.nodes, o.node)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "The tests run on %s; until they end, other nodes have the taint %s.\n", strings.Join(chosen, ", "), elsewhere)
	return fleet.keepTo(ctx, chosen, func(ctx context.Context) error { return o.test(ctx, l, fleet, known, len(chosen), w) })
}

// test runs the tests on so many nodes, and says what became of them.
func (o *runOptions) test(ctx context.Context, l layout.Layout, fleet *fleet, known []failure, nodes int, w io.Writer) error {
	if o.processes == 0 {
		o.processes = min(testsPerNode*nodes, mostTests)
	}
	started := time.Now()
	failure := o.execute(ctx, l, w)
	// Whatever became of the run, what it left in the cluster goes; an interrupted one had no chance to.
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	left := fleet.removeNamespaces(cleanup)
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("stopped: %w", err), left)
	}
	tests, err := readReport(filepath.Join(o.out, reportFile))
	if err != nil {
		return errors.Join(fmt.Errorf("the run ended without a report (see %s): %w", o.log(), err), failure, left)
	}
	verdict := judge(tests, known)
	verdict.print(w, time.Since(started), o.log())
	if failure != nil && len(verdict.failed)+len(verdict.known) == 0 {
		return errors.Join(fmt.Errorf("no test failed, and yet the run did (see %s): %w", o.log(), failure), left)
	}
	return errors.Join(verdict.err(), left)
}

func (o *runOptions) log() string { return filepath.Join(o.out, "output.log") }

// execute runs ginkgo and shows how far it is; its error says only that some test failed.
func (o *runOptions) execute(ctx context.Context, l layout.Layout, w io.Writer) error {
	if err := errors.Join(os.RemoveAll(o.out), os.MkdirAll(o.out, 0o755)); err != nil {
		return err
	}
	list := filepath.Join(o.out, "registries.yaml")
	if err := os.WriteFile(list, fmt.Appendf(nil, registries, layout.Artifacts+"/"+repository), 0o644); err != nil {
		return err
	}
	log, err := os.Create(o.log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	command := exec.CommandContext(ctx, o.ginkgo, o.arguments(l)...)
	command.Env = append(os.Environ(), "KUBE_TEST_REPO_LIST="+list)
	command.Dir = filepath.Join(l.Repository, "hack/kube") // ginkgo compares its version with the one of the module it runs in
	command.Stdout = io.MultiWriter(log, &counter{out: w, started: time.Now()})
	command.Stderr = log
	// An interrupt reaches ginkgo and each of its processes once, through us: it does not pass it on.
	command.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGTERM) }
	command.WaitDelay = time.Minute
	err = command.Run()
	if command.Process != nil {
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL) // whatever outlived that minute
	}
	return err
}

func (o *runOptions) arguments(l layout.Layout) []string {
	arguments := []string{
		fmt.Sprintf("--procs=%d", o.processes), "--no-color", "--succinct", "--timeout=" + o.timeout.String(),
		"--label-filter=" + o.labels, "--output-dir=" + o.out, "--json-report=" + reportFile, "--junit-report=junit.xml",
	}
	if o.focus != "" {
		arguments = append(arguments, "--focus="+o.focus)
	}
	return append(arguments, o.suite, "--", "--kubeconfig="+l.Kubeconfig(), "--provider=skeleton",
		"--kubectl-path="+l.Bin("kubectl"), "--non-blocking-taints=node-role.kubernetes.io/control-plane,"+elsewhere)
}

// counter shows a line each half minute: ginkgo prints a bullet for each test that ended.
type counter struct {
	out     io.Writer
	started time.Time
	shown   time.Time
	ended   int
}

func (c *counter) Write(output []byte) (int, error) {
	c.ended += strings.Count(string(output), "•")
	if now := time.Now(); now.Sub(c.shown) > 30*time.Second {
		c.shown = now
		_, _ = fmt.Fprintf(c.out, "%6s  %d tests ended\n", now.Sub(c.started).Round(time.Second), c.ended)
	}
	return len(output), nil
}
