package drift

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pause is between a change and the next that is told: whoever edits a file makes several.
	pause = 50 * time.Millisecond
	// events are what changes what is in a directory, or takes the directory itself away. What only reads tells of nothing.
	events = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
)

// watcher tells that something in directories was changed, and not what: who is told looks for himself, so that nothing is
// lost where there were more changes than the kernel keeps.
type watcher struct {
	file    *os.File
	watched map[int]bool // the kernel's numbers of its watches
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch directories: %w", err)
	}
	return &watcher{file: os.NewFile(uintptr(fd), "inotify"), watched: map[int]bool{}}, nil
}

// follow watches these directories, wherever they are by now: each may have been made anew under its name. The directory above
// is watched as well, or the nearest that there is, for the one that is gone to come back.
func (w *watcher) follow(dirs []string) error {
	now := map[int]bool{}
	var errs []error
	err := w.control(func(fd int) {
		for _, dir := range dirs {
			for _, path := range []string{dir, filepath.Dir(dir)} {
				number, err := watchNearest(fd, path)
				if err != nil {
					errs = append(errs, fmt.Errorf("watch %s: %w", path, err))
					continue
				}
				now[number] = true
			}
		}
		for number := range w.watched {
			if !now[number] {
				_, _ = unix.InotifyRmWatch(fd, uint32(number)) // the kernel may have ended it itself
			}
		}
	})
	w.watched = now
	return errors.Join(append(errs, err)...)
}

func watchNearest(fd int, path string) (int, error) {
	for {
		number, err := unix.InotifyAddWatch(fd, path, events)
		parent := filepath.Dir(path)
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) || parent == path {
			return number, err
		}
		path = parent
	}
}

func (w *watcher) control(do func(fd int)) error {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { do(int(fd)) })
}

// tell calls changed after changes, until the context ends.
func (w *watcher) tell(ctx context.Context, changed func()) {
	stop := context.AfterFunc(ctx, func() { _ = w.file.Close() })
	defer stop()
	buffer := make([]byte, 64<<10)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		if _, err := w.file.Read(buffer); err != nil {
			return // it was closed
		}
		changed()
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}
