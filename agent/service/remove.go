package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// Remove takes the agent out of systemd's hands, where Install put it, and returns the files that it removed.
func Remove(ctx context.Context) (removed []string, err error) {
	if _, err := os.Stat(UnitPath); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err := systemctl(ctx, "disable", "--now", filepath.Base(UnitPath)); err != nil {
		return nil, err
	}
	if err := os.Remove(UnitPath); err != nil {
		return nil, err
	}
	return []string{UnitPath}, nil
}
