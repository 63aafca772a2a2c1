package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Rotation bounds the logs. A log is copied and cut, not renamed, because the process keeps it open; the process
// appends, so it goes on at the new end. What it writes between the copy and the cut is lost.
type Rotation struct {
	// MaxBytes is the size beyond which a log is rotated. Default: 10 MiB.
	MaxBytes int64
	// Keep is how many old logs are kept, as <log>.1 (the newest) and so on. Default: 3.
	Keep int
	// Every is how often sizes are looked at. Default: 30 s.
	Every time.Duration
}

func (r Rotation) withDefaults() Rotation {
	if r.MaxBytes == 0 {
		r.MaxBytes = 10 << 20
	}
	if r.Keep == 0 {
		r.Keep = 3
	}
	if r.Every == 0 {
		r.Every = 30 * time.Second
	}
	return r
}

// rotateLogs looks after the logs of all units until the context ends.
func (s *Supervisor) rotateLogs(ctx context.Context) {
	ticker := s.opts.Clock.NewTicker(s.opts.Rotation.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		for _, path := range s.logFiles() {
			if err := s.opts.Rotation.rotate(path, path); err != nil {
				s.opts.Log.Error(err, "Failed to rotate a log", "log", path)
			}
		}
		if s.opts.OwnLog != "" && isAppendedTo(os.Stderr) {
			if err := s.opts.Rotation.rotate(openFile(os.Stderr), s.opts.OwnLog); err != nil {
				s.opts.Log.Error(err, "Failed to rotate the agent's own log", "log", s.opts.OwnLog)
			}
		}
	}
}

// isAppendedTo says whether an open file may be cut while it is written to: what a pipe, a socket or a terminal takes is
// another's to keep, and a writer that does not append would leave a hole.
func isAppendedTo(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_APPEND != 0
}

// openFile is a name of an open file whose own name may be out of our sight.
func openFile(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }

func (s *Supervisor) logFiles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for _, u := range s.units {
		if u.record.LogFile != "" {
			paths = append(paths, u.record.LogFile)
		}
	}
	return paths
}

// rotate rotates one log if it has outgrown the limit. Its old parts are kept beside the name base. A log that cannot be
// kept, as on a full disk, is cut all the same, and the older parts stay: what was to be kept is then lost.
func (r Rotation) rotate(path, base string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && info.Size() <= r.MaxBytes) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	kept := r.keep(path, base, info.Mode())
	if kept != nil {
		kept = fmt.Errorf("keep the log's last part, which is lost: %w", kept)
	}
	cut := os.Truncate(path, 0)
	if cut != nil {
		cut = fmt.Errorf("cut log: %w", cut)
	}
	return errors.Join(kept, cut)
}

// keep makes a copy of a log the newest of the old parts. Those are touched only when the copy is whole.
func (r Rotation) keep(path, base string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return err
	}
	part := base + ".new"
	if err := copyFile(path, part, mode); err != nil {
		_ = os.Remove(part)
		return err
	}
	for i := r.Keep - 1; i >= 1; i-- {
		err := os.Rename(fmt.Sprintf("%s.%d", base, i), fmt.Sprintf("%s.%d", base, i+1))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(part)
			return err
		}
	}
	return os.Rename(part, base+".1")
}

func copyFile(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
