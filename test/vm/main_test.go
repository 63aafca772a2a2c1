// Package vm tests the agent on a machine that is not the host's: a stock Debian 12 with systemd and cgroup v2, in a
// virtual machine that the tests share. It needs root and the programs and the image in .drover; make test builds them.
package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/test/trace"
)

// The machine, on a bridge that is the tests' own.
const (
	name    = "drover-test"
	bridge  = "drovervm0"
	gateway = "10.89.7.1/24"
	address = "10.89.7.10"
)

// patience bounds each command; a machine under emulation takes its time to boot on a busy host.
const patience = 5 * time.Minute

var root string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run boots the machine, runs the tests, ends the machine and looks for what is left of it.
func run(m *testing.M) (code int) {
	dir, err := os.Getwd()
	if err != nil {
		return complain(err)
	}
	root = filepath.Dir(filepath.Dir(dir))
	before, err := trace.Take(filepath.Join(root, ".drover"))
	if err != nil {
		return complain(err)
	}
	defer func() {
		if err := errors.Join(end(), removeBridge()); err != nil {
			code = complain(err)
		}
		after, err := trace.Take(filepath.Join(root, ".drover"))
		if err != nil {
			code = complain(err)
		}
		for _, line := range after.Since(before) {
			code = complain(fmt.Errorf("left behind by the virtual machine: %s", line))
		}
	}()
	// One that a killed run left is ended first.
	if err := errors.Join(end(), removeBridge(), makeBridge()); err != nil {
		return complain(err)
	}
	if out, err := drover("up", name, address, "--bridge", bridge, "--memory", "1536"); err != nil {
		return complain(fmt.Errorf("boot the machine: %w\n%s", err, out))
	}
	return m.Run()
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "FAIL:", err)
	return 1
}

// drover runs drover-vm, and returns all it printed.
func drover(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".drover", "bin", "drover-vm"), args...)
	cmd.Dir, cmd.WaitDelay = root, 10*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("drover-vm %v: %w", args, err)
	}
	return string(out), err
}

// end takes the power from the machine, if there is one.
func end() error {
	list, err := drover("list")
	if err != nil || list == "" {
		return err
	}
	out, err := drover("down", name)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func makeBridge() error {
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("make the bridge %s: %w", bridge, err)
	}
	addr, err := netlink.ParseAddr(gateway)
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link))
}

func removeBridge() error {
	link, err := netlink.LinkByName(bridge)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the bridge %s: %w", bridge, err)
	}
	return netlink.LinkDel(link)
}
