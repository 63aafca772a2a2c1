package reset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/internal/cgroup"
)

// mountsAt are the mount points at a directory and below it, the last mounted first.
func mountsAt(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, err
	}
	var points []string
	for _, i := range infos {
		points = append(points, i.Mountpoint)
	}
	slices.Reverse(points)
	return points, nil
}

// boundToItself says whether a directory is a mount point only because the kubelet bound it to itself, to share the
// mounts below. A filesystem of its own has / as its root.
func boundToItself(dir string) bool {
	infos, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(dir))
	return err == nil && len(infos) == 1 && infos[0].Root != "/" && strings.HasSuffix(dir, filepath.Base(infos[0].Root))
}

// unmount takes down the mounts of the kubelet, containerd and the network namespaces of pods.
func (r *resetter) unmount(context.Context) error {
	var errs []error
	dirs := r.claimed()
	if r.isOurs(r.Paths.ContainerdRoot) {
		dirs = append(dirs, r.NetnsDir)
	}
	for _, dir := range dirs {
		points, err := mountsAt(dir)
		errs = append(errs, err)
		for _, p := range points {
			if p == dir && !boundToItself(dir) {
				continue // a filesystem that the machine has for it
			}
			ofPod := strings.HasPrefix(filepath.Base(p), "cni-")
			if dir == r.NetnsDir && !ofPod {
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

// kubeletTables are the nftables tables of kube-proxy and the portmap plugin, who come with a kubelet.
var kubeletTables = []string{"kube-proxy", "cni_hostport"}

func (r *resetter) removeNetwork(context.Context) error {
	kernel := network.NewKernel()
	manager := &network.Manager{StateDir: r.StateDir, CNIDir: r.Paths.CNIConfDir, Kernel: kernel}
	routes, err := kernel.Routes()
	for _, route := range routes {
		r.say("Removed route %s", route)
	}
	return errors.Join(err, r.removeTables(), manager.Remove(), kernel.RemoveBridge())
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
	ours := r.isOurs(r.Paths.KubeletDir)
	for _, t := range tables {
		if t.Name == network.Table || ours && slices.Contains(kubeletTables, t.Name) {
			conn.DelTable(t)
			r.say("Removed nftables table %s", t.Name)
		}
	}
	if err := conn.Flush(); err != nil || !ours {
		return err
	}
	return r.removeKubeletChains(conn)
}

// kubeletChains begin the names of what the kubelet and kube-proxy's iptables mode make in iptables' own tables.
const kubeletChains = "KUBE-"

// removeKubeletChains removes the chains, and the rules that jump to them, from tables that others use as well.
func (r *resetter) removeKubeletChains(conn *nftables.Conn) error {
	chains, err := conn.ListChains()
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	var ours []*nftables.Chain
	for _, c := range chains {
		if strings.HasPrefix(c.Name, kubeletChains) {
			ours = append(ours, c)
			conn.FlushChain(c)
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return fmt.Errorf("list the rules of chain %s: %w", c.Name, err)
		}
		for _, rule := range rules {
			if !slices.ContainsFunc(rule.Exprs, jumpsToKubelet) {
				continue
			}
			if err := conn.DelRule(rule); err != nil {
				return fmt.Errorf("remove a rule of chain %s: %w", c.Name, err)
			}
		}
	}
	for _, c := range ours {
		conn.DelChain(c)
		r.say("Removed chain %s of table %s", c.Name, c.Table.Name)
	}
	return conn.Flush()
}

func jumpsToKubelet(e expr.Any) bool {
	verdict, ok := e.(*expr.Verdict)
	return ok && strings.HasPrefix(verdict.Chain, kubeletChains)
}

// removeCgroups removes the cgroups of pods, the innermost first. One that still has a process is an error.
func (r *resetter) removeCgroups(context.Context) error {
	found, err := r.podCgroups()
	errs := []error{err}
	for _, dir := range found {
		if err := cgroup.RemoveEmpty(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		r.say("Removed cgroup %s", dir)
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
