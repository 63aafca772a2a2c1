// Package cgroup ends what runs in cgroups and removes them, on version 1 and on version 2.
package cgroup

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
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/pidfd"
)

// retry is how often a cgroup is tried again that cannot be removed: the kernel lets go of one a moment after its last
// process, and tells nobody.
const retry = 20 * time.Millisecond

// Remove kills what is in some cgroups and in those below them, and removes them, until that is done or the context ends.
// A cgroup that is not there is removed already. All that a process is in must be given at once: on version 1 it may be
// frozen by one of them, and not even die in the others.
func Remove(ctx context.Context, roots ...string) error {
	for {
		err := removeAll(roots)
		if err == nil {
			return nil
		}
		_, _, failed := Kill(roots...)
		select {
		case <-ctx.Done():
			return errors.Join(err, failed)
		case <-time.After(retry):
		}
	}
}

func removeAll(roots []string) error {
	var failed error
	for _, root := range roots {
		failed = errors.Join(failed, RemoveEmpty(root))
	}
	return failed
}

// RemoveEmpty removes a cgroup and those below it, the innermost first. One that has a process is an error. It removes
// directories only: the files of a cgroup are the kernel's.
func RemoveEmpty(root string) error {
	dirs, err := below(root)
	if err != nil {
		return fmt.Errorf("list the cgroups below %s: %w", root, err)
	}
	for _, dir := range slices.Backward(dirs) {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// Kill thaws what is in some cgroups and in those below them, and sends it SIGKILL. It returns the processes that it found,
// and those of them that got the signal. What is not of this PID namespace, the init and this process are left alone.
func Kill(roots ...string) (found, killed []int, err error) {
	for _, root := range roots {
		thaw(root)
	}
	var errs []error
	for _, root := range roots {
		has, got, err := kill(root)
		found, killed, errs = append(found, has...), append(killed, got...), append(errs, err)
	}
	return found, killed, errors.Join(errs...)
}

func kill(root string) (found, killed []int, err error) {
	others := false
	dirs, err := below(root)
	errs := []error{err}
	for _, dir := range dirs {
		isIn := func(pid int) bool {
			pids, err := processes(dir)
			return err == nil && slices.Contains(pids, pid)
		}
		pids, err := processes(dir)
		errs = append(errs, err)
		for _, pid := range pids {
			if isSpared(pid) {
				others = true
				continue
			}
			found = append(found, pid)
			if pidfd.Kill(pid, isIn) {
				killed = append(killed, pid)
			}
		}
	}
	if len(found) > 0 && !others { // on version 2 at once, so that none can be born meanwhile
		write(filepath.Join(root, "cgroup.kill"), "1")
	}
	return found, killed, errors.Join(errs...)
}

// isSpared says of the number of a process that it is not to be killed: it is our own, the init's, or 0, as which a
// process shows that is not in our PID namespace.
func isSpared(pid int) bool { return pid <= 1 || pid == os.Getpid() }

// thaw lets frozen processes go on, from the top down: on version 1 a frozen one does not even die.
func thaw(root string) {
	dirs, _ := below(root) // to kill what is there fails with what cannot be looked at
	for _, dir := range dirs {
		write(filepath.Join(dir, "freezer.state"), "THAWED")
		write(filepath.Join(dir, "cgroup.freeze"), "0")
	}
}

// write writes to a file of the kernel's if there is one. What that was good for is seen by who is left.
func write(path, value string) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	_, _ = file.WriteString(value)
	_ = file.Close()
}

// below are a cgroup and those below it, the outermost first.
func below(root string) ([]string, error) {
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

// processes are those of one cgroup without those below it. Those of a threaded one are its domain's.
func processes(dir string) ([]int, error) {
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

// isGone says of an error that there is no such cgroup, or none any more since its file was opened.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }
