package vm

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-dev/drover/test/trace"
)

var (
	// first and second are the machines. The first is the one that make vm makes, in the demo's namespace.
	first, second *Server

	keep = flag.Bool("keep", false, "leave the demo and the machines running at the end, for working on a test")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// What the tests do at the same time is wait for their machine.
	if err := flag.Set("test.parallel", "2"); err != nil {
		os.Exit(complain(err))
	}
	os.Exit(run(m))
}

// run starts the demo and the machines, runs the tests, ends all and looks for what is left.
func run(m *testing.M) (code int) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return complain(err)
	}
	if os.Geteuid() != 0 {
		return complain(fmt.Errorf("a virtual machine beside the demo needs network links and namespaces: run make test as root"))
	}
	before, err := trace.Take(filepath.Join(root, ".drover"))
	if err != nil {
		return complain(err)
	}
	// An interrupt ends what runs by the context; what was started is ended all the same.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer func() {
		if !*keep {
			code = max(code, down(root, before))
		}
	}()
	if err := program(ctx, root, 5*time.Minute, "drover-dev", "up"); err != nil {
		return complain(fmt.Errorf("start the control plane: %w", err))
	}
	if err := boot(ctx, root); err != nil {
		return complain(err)
	}
	// The tests end with the process when they are interrupted, after what was started is ended.
	tests := make(chan int, 1)
	go func() { tests <- m.Run() }()
	stalled := make(chan struct{}, 2)
	for _, s := range []*Server{first, second} {
		go func() {
			if s.stalled(ctx) {
				stalled <- struct{}{}
			}
		}()
	}
	select {
	case code := <-tests:
		return code
	case <-stalled:
		// Debian's qemu 7.2 can go on with an old translation of code that the machine's kernel changes while it is translated,
		// as the kernel does with its own switches. Version 8.2 locks the page. hack/test.sh looks for these words.
		return complain(errors.New("the emulator stalled the machine: this says nothing of Drover, so run the tests again"))
	case <-ctx.Done():
		return complain(fmt.Errorf("interrupted: the demo and the machines are ended"))
	}
}

// boot starts the demo and beside it the machines, and makes for each what makes it a node.
func boot(ctx context.Context, root string) error {
	var starts errgroup.Group
	starts.Go(func() error { return program(ctx, root, 10*time.Minute, "drover-dev", "demo") })
	starts.Go(func() (err error) { // one after the other: two that boot at once take twice as long as that on two processors
		if first, err = start(ctx, root, "debian-1", "10.88.0.251", "default"); err == nil {
			second, err = start(ctx, root, "debian-2", "10.88.0.252", "debian-2")
		}
		return err
	})
	if err := starts.Wait(); err != nil {
		return err
	}
	if err := program(ctx, root, 2*time.Minute, "drover-dev", "vm"); err != nil {
		return fmt.Errorf("write the sample: %w", err)
	}
	sample, err := os.ReadFile(filepath.Join(root, ".drover", "samples", "host.yaml"))
	if err != nil {
		return err
	}
	version := regexp.MustCompile(`version: (v\S+)`).FindSubmatch(sample)
	if version == nil {
		return errors.New("the sample names no version of Kubernetes")
	}
	for _, s := range []*Server{first, second} {
		s.version = string(version[1])
		s.sample = strings.NewReplacer(first.Name, s.Name, first.Address, s.Address, "namespace: "+first.namespace, "namespace: "+s.namespace).Replace(string(sample))
	}
	if _, err = second.kubectl(ctx, "create", "namespace", second.namespace); err != nil && !strings.Contains(err.Error(), "AlreadyExists") {
		return err
	}
	return nil
}

// down ends the machines and the demo. Nothing of either may be left.
func down(root string, before trace.Snapshot) (code int) {
	if err := program(context.Background(), root, 5*time.Minute, "drover-dev", "down"); err != nil {
		code = complain(fmt.Errorf("end the demo and the machines: %w: run make down", err))
	}
	after, err := trace.Take(filepath.Join(root, ".drover"))
	if err != nil {
		return complain(err)
	}
	for _, line := range after.Since(before) {
		code = complain(fmt.Errorf("left behind after make down: %s", line))
	}
	if left, err := filepath.Glob(filepath.Join(root, ".drover", "vm", "machines", "*")); err != nil || len(left) > 0 {
		code = complain(fmt.Errorf("left behind after make down: %q, %w", left, err))
	}
	return code
}

// program runs one of the development world's and shows what it prints. An interrupt at the terminal reaches it by the
// context alone, so that it can end in its own way.
func program(ctx context.Context, root string, limit time.Duration, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".drover", "bin", name), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Dir = root
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "FAIL:", err)
	return 1
}
