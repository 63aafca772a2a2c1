package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/dev/hostnet"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/hack/vm/machine"
	"github.com/drover-dev/drover/internal/cgroup"
)

// machineLink matches the names that controllers/local/machine gives the machines' links, and not others' such as drv-lan.
var machineLink = regexp.MustCompile(`^drv[0-9a-f]{12}$`)

// ours matches the names of the links that a world makes, or a virtual machine beside it.
func ours(link string) bool { return link == layout.Bridge || ofMachine(link) }

// ofMachine matches the names of the links of local and of virtual machines.
func ofMachine(link string) bool { return machineLink.MatchString(link) || machine.IsTap(link) }

// oursTable matches the names of the nftables tables that a world makes on the host.
func oursTable(name string) bool { return name == layout.NFTable }

// Leftovers lists what is left of a world on this host, one line each.
func (w *World) Leftovers() ([]string, error) {
	left, vmErr := w.VirtualMachines()
	for _, id := range process.Find(w.Layout.Root(), "") {
		left = append(left, fmt.Sprintf("process %d", id.PID))
	}
	for _, dir := range cgroups() {
		left = append(left, "cgroup "+dir)
	}
	links, linkErr := hostnet.Links(ours)
	for _, name := range links {
		left = append(left, "link "+name)
	}
	tables, tableErr := hostnet.Tables(oursTable)
	for _, name := range tables {
		left = append(left, "nftables table "+name)
	}
	routes, routeErr := hostnet.Routes(layout.PodCIDR)
	for _, route := range routes {
		left = append(left, "route "+route)
	}
	mounts, mountErr := w.mounts()
	for _, path := range mounts {
		left = append(left, "mount "+path)
	}
	if w.journal.Exists() {
		left = append(left, "record "+w.Layout.Journal())
	}
	other, otherErr := FindOther(layout.HostRecord, w.Layout)
	if other != nil {
		left = append(left, "record "+layout.HostRecord+" of "+other.Folder())
	}
	return left, errors.Join(vmErr, linkErr, tableErr, routeErr, mountErr, otherErr)
}

// VirtualMachines tells of each, in a line.
func (w *World) VirtualMachines() ([]string, error) {
	machines := machine.Of(w.Layout)
	names, err := machines.Names()
	var lines []string
	for _, name := range names {
		line := name + ", of which nothing is recorded"
		if m, err := machines.Get(name); err == nil {
			line = m.String()
		}
		lines = append(lines, "virtual machine "+line)
	}
	return lines, err
}

// removeMachines ends whatever runs in local machines and removes what they left, by name alone, so that it does not
// depend on any record being whole.
func (w *World) removeMachines(ctx context.Context, dir string) error {
	err := killCgroups(ctx)
	links, linkErr := hostnet.Links(ofMachine)
	err = errors.Join(err, linkErr)
	for _, name := range links {
		err = errors.Join(err, hostnet.RemoveLink(name))
	}
	mounts, mountErr := w.mounts()
	err = errors.Join(err, mountErr)
	for _, path := range mounts {
		if e := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); e != nil && !errors.Is(e, unix.EINVAL) && !errors.Is(e, unix.ENOENT) {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", path, e))
		}
	}
	return errors.Join(err, w.removeMachinesFolder(dir))
}

func (w *World) removeMachinesFolder(dir string) error {
	if left, err := w.mounts(); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("%s is kept, for there are mounts in it", dir))
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the machines' folder: %w", err)
	}
	return nil
}

// mounts are the mount points below the world's folder, the innermost first.
func (w *World) mounts() ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(w.Layout.Root()))
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	var paths []string
	for _, info := range slices.Backward(infos) {
		paths = append(paths, info.Mountpoint)
	}
	return paths, nil
}

// cgroups are the machines' common cgroup in each hierarchy: one with cgroup v2, one for each controller with v1.
func cgroups() []string {
	const mount = "/sys/fs/cgroup"
	pattern := filepath.Join(mount, "*", layout.CgroupName)
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
		pattern = filepath.Join(mount, layout.CgroupName)
	}
	dirs, _ := filepath.Glob(pattern) // the pattern is well-formed
	var found []string
	for _, dir := range dirs {
		// Controllers that share a hierarchy have links to it.
		if resolved, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(found, resolved) {
			found = append(found, resolved)
		}
	}
	return found
}

// killCgroups kills everything in the machines' cgroups and removes them.
func killCgroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return cgroup.Remove(ctx, cgroups()...)
}
