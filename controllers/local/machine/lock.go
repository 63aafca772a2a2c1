package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const lockRetry = 20 * time.Millisecond

// lockMachine makes the machine's directory if need be and holds it against other managers until unlock is called.
func lockMachine(ctx context.Context, l layout) (unlock func(), err error) {
	for {
		if err := os.MkdirAll(l.dir(), 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("make the machine's directory: %w", err)
		}
		unlock, err := lockPath(ctx, l.dir(), unix.O_DIRECTORY)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return unlock, err
		}
	}
}

// lockAddresses holds the giving out of addresses below root.
func lockAddresses(ctx context.Context, root string) (unlock func(), err error) {
	return lockPath(ctx, filepath.Join(root, ".addresses.lock"), unix.O_CREAT|unix.O_RDWR)
}

// lockPath waits for the lock on a file or directory. fs.ErrNotExist says that it was removed meanwhile.
func lockPath(ctx context.Context, path string, flags int) (func(), error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = unix.Close(fd)
			return nil, fmt.Errorf("lock %s, which another manager holds: %w", path, ctx.Err())
		case <-time.After(lockRetry):
		}
	}
	var held, there unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &held), unix.Stat(path, &there)); err != nil || held.Ino != there.Ino {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("lock %s: %w", path, fs.ErrNotExist)
	}
	return func() { _ = unix.Close(fd) }, nil
}
