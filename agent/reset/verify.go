package reset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/node"
)

// Left is what Drover has left on this machine, a line for each thing, and changes nothing. What can be anybody's, as
// kube-proxy's tables are, counts unless another kubelet is here.
func Left(o Options) ([]string, error) {
	r := &resetter{Options: o.withDefaults()}
	var err error
	if r.before, err = r.recorder().Load(); err != nil {
		return nil, err
	}
	if err := r.marksReadable(); err != nil {
		return nil, err
	}
	return r.left(len(component.Paths{KubeletDir: r.Paths.KubeletDir, ContainerdRoot: r.Paths.ContainerdRoot, ContainerdState: r.Paths.ContainerdState}.InUse()) == 0)
}

func (r *resetter) left(ours bool) ([]string, error) {
	paths := []string{r.StateDir, r.RunDir, r.Paths.LogDir, r.Paths.ConfigDir, filepath.Join(r.Paths.CNIConfDir, network.ConflistName)}
	for _, path := range []string{service.UnitPath, service.NodeUnitPath, service.SlicePath, service.NetworkdPath, node.BootstrapPath} {
		paths = append(paths, r.Root+path)
	}
	paths = append(paths, r.claimed()...)
	if ours {
		paths = append(paths, r.Root+logindConf)
		for _, path := range baseline.Trees {
			if !r.before.Had(path) {
				paths = append(paths, r.Root+path)
			}
		}
	}
	var left []string
	var errs []error
	for _, path := range paths {
		is, err := isLeft(path)
		if errs = append(errs, err); is {
			left = append(left, path)
		}
	}
	processes, err := r.processesLeft()
	kernel, kernelErr := r.kernelLeft(ours)
	left = slices.Concat(left, processes, kernel)
	slices.Sort(left)
	return slices.Compact(left), errors.Join(append(errs, err, kernelErr)...)
}

// isLeft says whether something of ours is at a path. What is mounted below is others', and so are the directories above it.
func isLeft(path string) (bool, error) {
	there, err := baseline.Exists(path)
	if !there || err != nil {
		return false, err
	}
	mounts, err := mountsAt(path)
	return err == nil && len(mounts) == 0, err
}

// processesLeft are those that run from the agent's directory.
func (r *resetter) processesLeft() ([]string, error) {
	pids, err := supervise.Others()
	var left []string
	for _, pid := range pids {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(exe, r.StateDir+"/") && supervise.SameNamespaces(pid) {
			left = append(left, fmt.Sprintf("process %d (%s)", pid, exe))
		}
	}
	return left, err
}

func (r *resetter) kernelLeft(ours bool) ([]string, error) {
	var left []string
	kernel := network.NewKernel()
	routes, err := kernel.Routes()
	if err != nil {
		return nil, err
	}
	for _, route := range routes {
		left = append(left, fmt.Sprintf("route %s", route))
	}
	conn, err := nftables.New()
	if err != nil {
		return left, fmt.Errorf("open nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return left, fmt.Errorf("list nftables tables: %w", err)
	}
	for _, t := range tables {
		if t.Name == network.Table || ours && slices.Contains(kubeletTables, t.Name) {
			left = append(left, "nftables table "+baseline.TableName(t))
		}
	}
	if !ours {
		return left, nil
	}
	chains, err := conn.ListChains()
	if err != nil {
		return left, fmt.Errorf("list nftables chains: %w", err)
	}
	for _, c := range chains {
		if strings.HasPrefix(c.Name, kubeletChains) {
			left = append(left, "nftables chain "+baseline.TableName(c.Table)+" "+c.Name)
		}
	}
	cgroups, err := matches(filepath.Join("/sys/fs/cgroup", r.CgroupRoot), "kubepods*")
	return append(left, cgroups...), err
}
