package reset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/supervise"
)

// shimName is the program that containerd leaves beside each pod, and that outlives containerd.
const shimName = "containerd-shim-runc-v2"

// killPods ends what is left of the pods when containerd is gone: its shims, and then what is in the pods' cgroups.
// As long as one of these runs no cgroup can be removed, and what it runs on must not be taken away.
func (r *resetter) killPods(ctx context.Context) error {
	killed := map[int]bool{}
	dirs, err := r.podCgroups()
	for _, dir := range dirs {
		thaw(dir)
	}
	var left []int
	late := until(ctx, func() (bool, error) {
		found, err := r.killShims(killed)
		left = found
		errs := []error{err}
		for _, dir := range dirs {
			found, err := killCgroup(dir, killed)
			left, errs = append(left, found...), append(errs, err)
		}
		return len(left) == 0, errors.Join(errs...)
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
		if !isSpared(pid) && isShim(pid) {
			found = append(found, pid)
			kill(pid, isShim, killed)
		}
	}
	return found, err
}

// killCgroup kills what is in a cgroup and below it, and returns what it found there. What is not of this machine is
// left alone, and found when the cgroup cannot be removed.
func killCgroup(root string, killed map[int]bool) ([]int, error) {
	var found []int
	others := false
	dirs, err := cgroupsBelow(root)
	errs := []error{err}
	for _, dir := range dirs {
		isIn := func(pid int) bool {
			pids, err := processesIn(dir)
			return err == nil && slices.Contains(pids, pid)
		}
		pids, err := processesIn(dir)
		errs = append(errs, err)
		for _, pid := range pids {
			if isSpared(pid) {
				others = true
				continue
			}
			found = append(found, pid)
			kill(pid, isIn, killed)
		}
	}
	if len(found) > 0 && !others { // on version 2 at once, so that none can be born meanwhile
		_ = os.WriteFile(filepath.Join(root, "cgroup.kill"), []byte("1"), 0)
	}
	return found, errors.Join(errs...)
}

// isSpared says of the number of a process that it is not to be killed: it is our own, the init's, or 0, as which a
// process shows that is not in our PID namespace and so not of this machine.
func isSpared(pid int) bool { return pid <= 1 || pid == os.Getpid() }

// kill kills a process if it still is the one that is meant once we have a hold on it: a PID may change hands.
func kill(pid int, isMeant func(pid int) bool, killed map[int]bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	if isMeant(pid) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
		killed[pid] = true
	}
}

// thaw lets frozen processes go on, from the top down: on version 1 a frozen one does not even die.
func thaw(root string) {
	dirs, _ := cgroupsBelow(root) // killPods fails with what cannot be looked at
	for _, dir := range dirs {
		for file, on := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			if path := filepath.Join(dir, file); exists(path) {
				_ = os.WriteFile(path, []byte(on), 0) // killPods says which processes are left
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
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

// cgroupsBelow are a cgroup and those below it, the outermost first.
func cgroupsBelow(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		if isGone(err) {
			return nil // what goes meanwhile needs no more looking at
		}
		return err
	})
	return dirs, err
}

// processesIn are the processes of one cgroup without those below it. Those of a threaded one are its domain's.
func processesIn(dir string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if isGone(err) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the processes of a cgroup: %w", err)
	}
	var pids []int
	for line := range strings.Lines(string(data)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
