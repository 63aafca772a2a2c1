package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// Disable stops the agent and keeps systemd from starting it again. The components run on.
func Disable(ctx context.Context) error {
	if _, err := os.Stat(UnitPath); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return systemctl(ctx, "disable", "--now", "--no-reload", filepath.Base(UnitPath))
}

// Remove takes the agent and its components out of systemd's hands, where Install put them, and returns the files that it
// removed. Networkd goes on as it is until it is restarted: a restart now would take away routes that others made.
func Remove(ctx context.Context) (removed []string, err error) {
	if _, err := os.Stat(NodeUnitPath); err == nil {
		if err := systemctl(ctx, "disable", "--now", "--no-reload", filepath.Base(NodeUnitPath)); err != nil {
			return nil, err
		}
	}
	units := false
	for _, path := range []string{UnitPath, NodeUnitPath, SlicePath, NetworkdPath} {
		switch err := os.Remove(path); {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return removed, err
		}
		removed, units = append(removed, path), units || path != NetworkdPath
	}
	if units {
		err = errors.Join(systemctl(ctx, "stop", filepath.Base(SlicePath)), systemctl(ctx, "daemon-reload"))
		// Units that failed, as an agent does that cannot be started, stay in systemd's memory when their files are gone. One
		// that did not fail it does not know any more, which it calls an error.
		for _, unit := range []string{filepath.Base(UnitPath), filepath.Base(NodeUnitPath)} {
			_ = systemctl(ctx, "reset-failed", unit)
		}
	}
	return removed, err
}
