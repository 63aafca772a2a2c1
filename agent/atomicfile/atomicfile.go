package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write makes path hold data with the given mode. The directory is made if it is missing (mode 0755).
func Write(path string, data []byte, mode os.FileMode) error {
	if err := replace(path, data, mode, true); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
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

// WriteDerived is WriteIfChanged for a file that is worked out, and given here again, before each time it is needed: it
// does not wait for the disk. A power cut may leave anything under the name, which the next call mends.
func WriteDerived(path string, data []byte, mode os.FileMode) (bool, error) {
	if Holds(path, data, mode) {
		return false, nil
	}
	return true, replace(path, data, mode, false)
}

func replace(path string, data []byte, mode os.FileMode, durable bool) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), ignoreMissing(os.Remove(temp.Name())))
		}
	}()
	if err := fill(temp, data, mode, durable); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
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

// fill writes data to the temporary file, down to the disk if it is to be durable, and closes it.
func fill(file *os.File, data []byte, mode os.FileMode, durable bool) error {
	_, err := file.Write(data)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil && durable {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
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
