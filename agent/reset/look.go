package reset

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/baseline"
)

// isGone says of an error that what was looked for is not there. Any other, such as too many open files, says nothing of
// it: to take it for gone would be to call a machine clean on which it still is.
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) ||
		errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) // a process, and a cgroup, that ended after its file was opened
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isAnyThere says whether one of several paths names something.
func isAnyThere(paths ...string) (bool, error) {
	for _, path := range paths {
		if there, err := baseline.Exists(path); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// matches are the paths in a directory whose names match a pattern. Unlike filepath.Glob it does not take a directory that
// cannot be read for an empty one.
func matches(dir, pattern string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !isGone(err) {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		if ok, err := filepath.Match(pattern, entry.Name()); err != nil {
			return nil, err
		} else if ok {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, nil
}
