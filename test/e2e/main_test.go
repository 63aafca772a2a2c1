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
	"path/filepath"
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
	defer func() {
		if *keep {
			return
		}
		if err := dev(root, 5*time.Minute, "down"); err != nil {
			code = complain(fmt.Errorf("take the demo down: %w", err))
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

// dev runs one of hack/dev's commands and shows what it prints.
func dev(root string, limit time.Duration, command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	program := exec.CommandContext(ctx, filepath.Join(root, ".drover", "bin", "drover-dev"), command)
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
