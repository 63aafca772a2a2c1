package machine

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
)

const (
	cgroupRetry   = 20 * time.Millisecond
	cgroupTimeout = 10 * time.Second
)

// MakeCgroups implements Host.
func (LinuxHost) MakeCgroups(c Cgroups) error {
	for _, dir := range c.Make {
		if err := makeCgroup(dir); err != nil {
			return fmt.Errorf("make the cgroup %s: %w", dir.Path, err)
		}
	}
	return nil
}

func makeCgroup(dir CgroupDir) error {
	if err := os.Mkdir(dir.Path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, file := range dir.Inherit {
		own := filepath.Join(dir.Path, file)
		has, err := os.ReadFile(own)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(has)) != "" {
			continue
		}
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir.Path), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(own, value, 0); err != nil {
			return err
		}
	}
	for _, s := range dir.Set {
		if err := os.WriteFile(filepath.Join(dir.Path, s.File), []byte(s.Value), 0); err != nil {
			return err
		}
	}
	return delegate(dir)
}

// delegate gives a cgroup's children the controllers they do not have yet.
func delegate(dir CgroupDir) error {
	if len(dir.Delegate) == 0 {
		return nil
	}
	file := filepath.Join(dir.Path, "cgroup.subtree_control")
	has, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, controller := range dir.Delegate {
		if slices.Contains(strings.Fields(string(has)), controller) {
			continue
		}
		if err := os.WriteFile(file, []byte("+"+controller), 0); err != nil {
			return err
		}
	}
	return nil
}

// RemoveCgroups implements Host. The kernel lets go of a cgroup a moment after its last process: hence the retries.
func (LinuxHost) RemoveCgroups(ctx context.Context, c Cgroups) error {
	ctx, cancel := context.WithTimeout(ctx, cgroupTimeout)
	defer cancel()
	for _, tree := range c.Remove {
		for {
			err := removeCgroupTree(tree)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("remove the cgroup %s: %w", tree, err)
			case <-time.After(cgroupRetry):
			}
		}
	}
	for _, dir := range c.RemoveIfEmpty {
		// Other machines' cgroups keep it.
		_ = unix.Rmdir(dir)
	}
	return nil
}

// removeCgroupTree kills what is left in a machine's cgroups (nothing, if it died whole) and removes them, innermost
// first.
func removeCgroupTree(tree string) error {
	var dirs []string
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	var failed error
	for _, dir := range dirs {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			continue
		}
		killCgroup(dir)
		failed = errors.Join(failed, fmt.Errorf("%s: %w", dir, err))
	}
	return failed
}

func killCgroup(dir string) {
	// A frozen process takes no signal.
	_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for _, field := range strings.Fields(string(procs)) {
		if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() {
			killOne(pid)
		}
	}
}
