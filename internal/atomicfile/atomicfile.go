package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Write makes path hold data with the given mode. The directory is made if it is missing (mode 0755).
func Write(path string, data []byte, mode os.FileMode) error {
	return writeIn(path, data, mode, true)
}

// Replace makes path hold what content has, with the given mode, and does not wait for the disk: a power cut may leave
// anything under the name. The directory must be there.
func Replace(path string, content io.Reader, mode os.FileMode) error {
	return describe(path, replace(path, content, mode, false))
}

// Link makes path another name of a file on the same file system, whatever path was before.
func Link(file, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	temp := filepath.Join(dir, "."+filepath.Base(path)+".link")
	// What a call left that was killed, and below what a rename leaves if both names are the file's already.
	if err := ignoreMissing(os.Remove(temp)); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	err := os.Link(file, temp)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return errors.Join(err, ignoreMissing(os.Remove(temp)))
}

// Symlink makes path a symbolic link to a target, whatever file or link path was before.
func Symlink(target, path string) error {
	dir := filepath.Dir(path)
	temp := filepath.Join(dir, "."+filepath.Base(path)+".link")
	err := ignoreMissing(os.Remove(temp)) // what a call left that was killed
	if err == nil {
		err = os.Symlink(target, temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("link %s to %s: %w", path, target, err)
	}
	return nil
}

// WriteDerived is WriteIfChanged for a file that is worked out, and given here again, before each time it is needed: it
// does not wait for the disk. A power cut may leave anything under the name, which the next call mends.
func WriteDerived(path string, data []byte, mode os.FileMode) (bool, error) {
	if Holds(path, data, mode) {
		return false, nil
	}
	return true, writeIn(path, data, mode, false)
}

// WriteIfChanged is Write, except that it leaves a file alone that has this content and mode already. It says
// whether it wrote.
func WriteIfChanged(path string, data []byte, mode os.FileMode) (bool, error) {
	if Holds(path, data, mode) {
		return false, nil
	}
	return true, Write(path, data, mode)
}

// Holds says whether a file has this content and mode.
func Holds(path string, data []byte, mode os.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != mode.Perm() || info.Size() != int64(len(data)) {
		return false
	}
	old, err := os.ReadFile(path)
	return err == nil && bytes.Equal(old, data)
}

// writeIn replaces a file in a directory that it makes if that is missing.
func writeIn(path string, data []byte, mode os.FileMode, durable bool) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = replace(path, bytes.NewReader(data), mode, durable)
	}
	return describe(path, err)
}

func describe(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %s: %w", path, err)
}

func replace(path string, content io.Reader, mode os.FileMode, durable bool) error {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)+"."
	sweep(dir, prefix)
	temp, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return err
	}
	err = fill(temp, content, mode, durable)
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp.Name())))
	}
	if durable {
		return syncDir(dir)
	}
	return nil
}

// fill writes the content to the temporary file, down to the disk if it is to be durable, and closes it.
func fill(file *os.File, content io.Reader, mode os.FileMode, durable bool) error {
	_, err := io.Copy(file, content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil && durable {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// abandoned is the age from which on a temporary file is taken for one that nobody writes any more.
const abandoned = time.Hour

// sweep removes the temporary files of calls for the same name that were killed. What it cannot remove is in nobody's way.
func sweep(dir, prefix string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		random, ours := strings.CutPrefix(entry.Name(), prefix)
		if !ours || strings.Trim(random, "0123456789") != "" || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
