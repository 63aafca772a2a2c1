package reset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/network"
)

func mountsBelow(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, err
	}
	var points []string
	for _, i := range infos {
		if strings.HasPrefix(i.Mountpoint, dir+"/") {
			points = append(points, i.Mountpoint)
		}
	}
	slices.Reverse(points) // the last mounted first
	return points, nil
}

// unmount takes down the mounts of the kubelet, containerd and the network namespaces of pods.
func (r *resetter) unmount(context.Context) error {
	var errs []error
	for _, dir := range []string{r.Paths.KubeletDir, r.Paths.ContainerdState, r.Paths.ContainerdRoot, "/run/netns", "/var/run/netns"} {
		points, err := mountsBelow(dir)
		errs = append(errs, err)
		for _, p := range points {
			ofPod := strings.HasPrefix(filepath.Base(p), "cni-")
			if strings.HasSuffix(filepath.Dir(p), "/netns") && !ofPod {
				continue // somebody else's network namespace
			}
			if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
				continue
			}
			if ofPod {
				errs = append(errs, ignoreMissing(os.Remove(p)))
			}
			r.say("Unmounted %s", p)
		}
	}
	return errors.Join(errs...)
}

// ourTables are the nftables tables of the agent, kube-proxy and the portmap plugin.
var ourTables = []string{network.Table, "kube-proxy", "cni_hostport"}

func (r *resetter) removeNetwork(context.Context) error {
	kernel := network.NewKernel()
	manager := &network.Manager{StateDir: r.StateDir, CNIDir: r.Paths.CNIConfDir, Kernel: kernel}
	return errors.Join(manager.Remove(), kernel.RemoveBridge(), r.removeTables())
}

func (r *resetter) removeTables() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return fmt.Errorf("list nftables tables: %w", err)
	}
	for _, t := range tables {
		if slices.Contains(ourTables, t.Name) {
			conn.DelTable(t)
			r.say("Removed nftables table %s", t.Name)
		}
	}
	return conn.Flush()
}

// removeCgroups removes the cgroups of pods, the innermost first. One that still has a process is an error.
func (r *resetter) removeCgroups(context.Context) error {
	var errs []error
	for _, pattern := range []string{
		filepath.Join("/sys/fs/cgroup", r.CgroupRoot, "kubepods*"),
		filepath.Join("/sys/fs/cgroup/*", r.CgroupRoot, "kubepods*"),
	} {
		found, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, dir := range found {
			if err := removeTree(dir); err != nil {
				errs = append(errs, err)
				continue
			}
			r.say("Removed cgroup %s", dir)
		}
	}
	return errors.Join(errs...)
}

// removeTree removes directories only: the files of a cgroup are the kernel's.
func removeTree(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return ignoreMissing(err)
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
