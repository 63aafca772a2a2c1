package reset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/internal/cgroup"
	"github.com/drover-dev/drover/internal/pidfd"
)

// shimName is the program that containerd leaves beside each pod, and that outlives containerd.
const shimName = "containerd-shim-runc-v2"

// killPods ends what is left of the pods when containerd is gone: its shims, and then what is in the pods' cgroups.
// As long as one of these runs no cgroup can be removed, and what it runs on must not be taken away.
func (r *resetter) killPods(ctx context.Context) error {
	killed := map[int]bool{}
	dirs, err := r.podCgroups()
	var left []int
	late := until(ctx, func() (bool, error) {
		shims, failed := r.killShims(killed)
		found, got, err := cgroup.Kill(dirs...)
		for _, pid := range got {
			killed[pid] = true
		}
		left = slices.Concat(shims, found)
		return len(left) == 0, errors.Join(failed, err)
	})
	if len(killed) > 0 {
		r.say("Killed %d processes that were left of the pods", len(killed))
	}
	if late != nil {
		late = fmt.Errorf("end the processes of the pods, of which %v are left: %w", left, late)
	}
	return errors.Join(err, late)
}

// killShims kills the shims that run from our bundles, in our own namespaces: another machine on this host has the same
// paths. It returns those that it found.
func (r *resetter) killShims(killed map[int]bool) ([]int, error) {
	state, err := filepath.EvalSymlinks(r.StateDir)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the pods' shims: %w", err)
	}
	isShim := func(pid int) bool {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		exe = strings.TrimSuffix(exe, " (deleted)")
		return err == nil && filepath.Base(exe) == shimName && strings.HasPrefix(exe, state+"/") && supervise.SameNamespaces(pid)
	}
	pids, err := supervise.Others()
	var found []int
	for _, pid := range pids {
		if pid > 1 && isShim(pid) {
			found = append(found, pid)
			if pidfd.Kill(pid, isShim) {
				killed[pid] = true
			}
		}
	}
	return found, err
}

// podCgroups are the topmost cgroups of pods, in each hierarchy, where the kubelet was ours.
func (r *resetter) podCgroups() ([]string, error) {
	if !r.isOurs(r.Paths.KubeletDir) {
		return nil, nil
	}
	hierarchies, err := matches("/sys/fs/cgroup", "*")
	errs := []error{err}
	var found []string
	for _, hierarchy := range append([]string{"/sys/fs/cgroup"}, hierarchies...) {
		dirs, err := matches(filepath.Join(hierarchy, r.CgroupRoot), "kubepods*")
		found, errs = append(found, dirs...), append(errs, err)
	}
	return found, errors.Join(errs...)
}
