package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/cgroup"
)

// cgroupTimeout bounds the removal of a machine's cgroups.
const cgroupTimeout = 10 * time.Second

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

// RemoveCgroups implements Host.
func (LinuxHost) RemoveCgroups(ctx context.Context, c Cgroups) error {
	ctx, cancel := context.WithTimeout(ctx, cgroupTimeout)
	defer cancel()
	if err := cgroup.Remove(ctx, c.Remove...); err != nil {
		return err
	}
	for _, dir := range c.RemoveIfEmpty {
		// Other machines' cgroups keep it.
		_ = unix.Rmdir(dir)
	}
	return nil
}
