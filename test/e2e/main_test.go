// Package e2e tests Drover as its users run it: the demo world with real nodes on this host, made by the command that
// make demo uses, then broken, scaled, deleted and taken down. It needs root and the programs in .drover/bin; make test
// builds them first.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drover-dev/drover/test/trace"
)

var (
	// world is the running demo that the tests share.
	world *World

	keep = flag.Bool("keep", false, "leave the demo running at the end, for working on a test")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// What tests do at the same time is wait, for far more nodes than this machine has processors. With more of them at once nodes
	// take minutes to come up on a busy machine.
	if err := flag.Set("test.parallel", "10"); err != nil {
		os.Exit(complain(err))
	}
	os.Exit(run(m))
}

// run brings the demo up, runs the tests, takes it down and looks for what is left.
func run(m *testing.M) (code int) {
	root, err := repository()
	if err != nil {
		return complain(err)
	}
	if os.Geteuid() != 0 {
		return complain(fmt.Errorf("the end-to-end tests make network namespaces, mounts and cgroups: run make test as root"))
	}
	before, err := trace.Take(filepath.Join(root, ".drover"))
	if err != nil {
		return complain(err)
	}
	defer downWhenInterrupted(root)()
	defer func() {
		if *keep {
			return
		}
		// The second time there is nothing to do, which is no failure.
		for _, how := range []string{"take the demo down", "take it down again"} {
			if err := dev(root, 5*time.Minute, "down"); err != nil {
				code = complain(fmt.Errorf("%s: %w", how, err))
			}
		}
		after, err := trace.Take(filepath.Join(root, ".drover"))
		if err != nil {
			code = complain(err)
		}
		for _, line := range after.Since(before) {
			code = complain(fmt.Errorf("left behind after make down: %s", line))
		}
	}()
	if err := dev(root, 10*time.Minute, "demo"); err != nil {
		return complain(fmt.Errorf("bring the demo up: %w", err))
	}
	if world, err = connect(root); err != nil {
		return complain(err)
	}
	return m.Run()
}

// downWhenInterrupted takes the demo down, and ends, when the tests are told to stop. What it returns ends the watch.
func downWhenInterrupted(root string) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, interrupted := <-signals; !interrupted {
			return
		}
		complain(fmt.Errorf("interrupted: the demo is taken down"))
		endTests()
		if err := runDev(context.Background(), root, "down"); err != nil {
			complain(fmt.Errorf("take the demo down: %w: run make down", err))
		}
		os.Exit(1)
	}()
	return func() { signal.Stop(signals); close(signals) }
}

// endTests ends the tests' command that runs and lets no more begin, so that nothing starts what is being taken down.
func endTests() {
	cancelTests()
	commands.Lock()
}

var (
	tests, cancelTests = context.WithCancel(context.Background())
	commands           sync.Mutex
)

// dev runs one of hack/dev's commands and shows what it prints.
func dev(root string, limit time.Duration, command string) error {
	commands.Lock()
	defer commands.Unlock()
	ctx, cancel := context.WithTimeout(tests, limit)
	defer cancel()
	err := runDev(ctx, root, command)
	if tests.Err() != nil {
		commands.Unlock()
		select {} // whoever interrupted the tests ends this process
	}
	return err
}

// runDev runs it in a process group of its own, which an interrupt at the terminal does not reach.
func runDev(ctx context.Context, root, command string) error {
	program := exec.CommandContext(ctx, filepath.Join(root, ".drover", "bin", "drover-dev"), command)
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	program.Cancel = func() error { return program.Process.Signal(syscall.SIGTERM) }
	program.WaitDelay = 30 * time.Second
	program.Dir = root
	program.Stdout, program.Stderr = os.Stdout, os.Stderr
	return program.Run()
}

func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return filepath.Dir(filepath.Dir(dir)), nil
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "FAIL:", err)
	return 1
}
