package machineinit

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/internal/atomicfile"
)

type device struct {
	node.LocalBootDevice
	kind   uint32
	number uint64
}

// lookUpDevices finds the numbers of the host's devices, while its /dev can still be seen.
func lookUpDevices(wanted []node.LocalBootDevice) ([]device, error) {
	var found []device
	for _, d := range wanted {
		var st unix.Stat_t
		switch err := unix.Stat(d.Path, &st); {
		case errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return nil, fmt.Errorf("look up the device %s: %w", d.Path, err)
		}
		if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFCHR || kind == unix.S_IFBLK {
			found = append(found, device{LocalBootDevice: d, kind: kind, number: st.Rdev})
		}
	}
	return found, nil
}

// makeDevices makes them in the machine's own /dev.
func makeDevices(devices []device) error {
	for _, d := range devices {
		if err := os.MkdirAll(path.Dir(d.Path), 0o755); err != nil {
			return fmt.Errorf("make the device %s: %w", d.Path, err)
		}
		if err := unix.Mknod(d.Path, d.kind|d.Mode, int(d.number)); err != nil { // mknod(2) takes it so.
			return fmt.Errorf("make the device %s: %w", d.Path, err)
		}
		if err := os.Chmod(d.Path, os.FileMode(d.Mode)); err != nil {
			return fmt.Errorf("make the device %s: %w", d.Path, err)
		}
	}
	return nil
}

// openSources opens, by their machine path, the host's files that are to be copied.
func openSources(files []node.LocalBootFile) (map[string]*os.File, error) {
	sources := map[string]*os.File{}
	for _, f := range files {
		if f.Source == "" {
			continue
		}
		file, err := os.Open(f.Source)
		if err != nil {
			return nil, fmt.Errorf("open the source of %s: %w", f.Path, err)
		}
		sources[f.Path] = file
	}
	return sources, nil
}

// writeFiles makes the plan's files, directories and links in the machine's root.
func writeFiles(files []node.LocalBootFile, sources map[string]*os.File) error {
	for _, f := range files {
		if err := writeFile(f, sources[f.Path]); err != nil {
			return fmt.Errorf("make %s: %w", f.Path, err)
		}
	}
	for _, s := range sources {
		_ = s.Close()
	}
	return nil
}

func writeFile(f node.LocalBootFile, source *os.File) error {
	if f.Directory {
		if err := os.MkdirAll(f.Path, os.FileMode(f.Mode)&0o777); err != nil {
			return err
		}
		return unix.Chmod(f.Path, f.Mode)
	}
	if _, err := os.Lstat(f.Path); err == nil && f.Keep {
		return nil
	}
	if err := os.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return err
	}
	if f.Link != "" {
		if err := os.RemoveAll(f.Path); err != nil {
			return err
		}
		return os.Symlink(f.Link, f.Path)
	}
	mode := os.FileMode(f.Mode)
	if source != nil {
		return atomicfile.Replace(f.Path, source, mode)
	}
	return atomicfile.Replace(f.Path, strings.NewReader(f.Content), mode)
}
