package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
)

// diskPrefix and the test binary's PID begin the name of a directory of machines.
const diskPrefix = "drover-test-"

// removeStale removes what the machines' tests left when they were killed. Those that run now are left alone.
func removeStale() error {
	dirs, err := filepath.Glob(filepath.Join("/srv", diskPrefix+"*"))
	if err != nil || len(dirs) == 0 {
		return err
	}
	if slices.ContainsFunc(dirs, inUse) {
		return nil // and so is the bridge
	}
	for _, dir := range dirs {
		if err := removeMachinesIn(dir); err != nil {
			return err
		}
	}
	// It is made after its directory, and removed before it.
	bridge, err := netlink.LinkByName(testBridge)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	return netlink.LinkDel(bridge)
}

func inUse(dir string) bool {
	owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), diskPrefix), "-")
	pid, err := strconv.Atoi(owner)
	return err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func removeMachinesIn(dir string) error {
	m := &Machines{Root: filepath.Join(dir, "machines"), CgroupParent: testCgroup, Host: LinuxHost{}, Log: logr.Discard()}
	keys, err := m.List()
	for _, key := range keys {
		err = errors.Join(err, m.Remove(context.Background(), key))
	}
	return errors.Join(err, os.RemoveAll(dir))
}
