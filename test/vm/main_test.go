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
	"syscall"
	"testing"
	"time"

	"github.com/drover-dev/drover/test/trace"
)

var (
	// debian is the machine that the tests share.
	debian *Server

	keep = flag.Bool("keep", false, "leave the demo and the machine running at the end, for working on a test")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run starts the demo and the machine, runs the tests, ends both and looks for what is left.
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
	if err := program(ctx, root, 10*time.Minute, "drover-dev", "demo"); err != nil {
		return complain(fmt.Errorf("start the demo: %w", err))
	}
	if debian, err = start(ctx, root); err != nil {
		return complain(err)
	}
	if debian.stock, err = debian.look(ctx); err != nil {
		return complain(err)
	}
	// The tests end with the process when they are interrupted, after what was started is ended.
	tests := make(chan int, 1)
	go func() { tests <- m.Run() }()
	stalled := make(chan struct{})
	go func() {
		if debian.stalled(ctx) {
			close(stalled)
		}
	}()
	select {
	case code := <-tests:
		return code
	case <-stalled:
		// Debian's qemu 7.2 can go on with an old translation of code that the machine's kernel changes while it is translated,
		// as the kernel does with its own switches. Version 8.2 locks the page. hack/test.sh looks for these words.
		return complain(errors.New("the emulator stalled the machine: this says nothing of Drover, so run the tests again"))
	case <-ctx.Done():
		return complain(fmt.Errorf("interrupted: the demo and the machine are ended"))
	}
}

// down ends the machine and the demo. Nothing of either may be left.
func down(root string, before trace.Snapshot) (code int) {
	if err := program(context.Background(), root, 5*time.Minute, "drover-dev", "down"); err != nil {
		code = complain(fmt.Errorf("end the demo and the machine: %w: run make down", err))
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
