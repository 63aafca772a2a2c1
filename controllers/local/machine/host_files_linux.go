package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	// maxInside is the most that is read of a machine's file.
	maxInside = 64 << 10
	// insideTimeout is how long that may take.
	insideTimeout = 2 * time.Second
)

// ReadInside implements Host. The machine owns every path in it: links resolve inside it, only a regular file is read,
// and a file system of its own that does not answer (FUSE) holds up nobody but a goroutine.
func (h LinuxHost) ReadInside(p Process, name string) ([]byte, error) {
	return reads.bounded(p, insideTimeout, func() ([]byte, error) { return h.readInside(p, name) })
}

// reads are the reads under way, one of a machine at a time: what hangs must not pile up.
var reads readers

type readers struct{ busy sync.Map }

func (r *readers) bounded(p Process, timeout time.Duration, read func() ([]byte, error)) ([]byte, error) {
	if _, busy := r.busy.LoadOrStore(p, true); busy {
		return nil, errors.New("an earlier read of a file in the machine has not come back")
	}
	type answer struct {
		data []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		data, err := read()
		r.busy.Delete(p)
		answers <- answer{data, err}
	}()
	select {
	case a := <-answers:
		return a.data, a.err
	case <-time.After(timeout):
		return nil, fmt.Errorf("read a file in the machine: no answer within %s", timeout)
	}
}

func (h LinuxHost) readInside(p Process, name string) ([]byte, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", p.PID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the machine's root: %w", err)
	}
	defer closeFD(root)
	if err := h.find(p); err != nil {
		return nil, fmt.Errorf("open the machine's root: %w", err)
	}
	fd, err := unix.Openat2(root, strings.TrimPrefix(name, "/"), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, fmt.Errorf("open %s in the machine: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer closeFile(file)
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s in the machine: it is no regular file", name)
	}
	return io.ReadAll(io.LimitReader(file, maxInside))
}

// RemoveTree implements Host.
func (LinuxHost) RemoveTree(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		clearFlags(dir)
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("remove the machine's directory: %w", err)
	}
	return nil
}

// unmountBelow lets go of every mount below dir in this namespace: there is none, unless somebody entered one here.
func unmountBelow(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("list the mounts below %s: %w", dir, err)
	}
	slices.SortFunc(mounts, func(a, b *mountinfo.Info) int { return b.ID - a.ID })
	for _, m := range mounts {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}

// clearFlags makes files removable that were marked immutable or append-only (chattr(1)). What it cannot do, the
// removal after it will say.
func clearFlags(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (entry.IsDir() || entry.Type().IsRegular()) {
			clearFlagsOf(path)
		}
		return nil
	})
}

func clearFlagsOf(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer closeFD(fd)
	// FS_IMMUTABLE_FL and FS_APPEND_FL have the values of their statx attributes.
	const keepFromRemoval = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND
	if flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err == nil && flags&keepFromRemoval != 0 {
		_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags&^keepFromRemoval)
	}
}

// closeFD and closeFile close what was only read, or is another process's now: nothing is lost with their errors.
func closeFD(fd int) { _ = unix.Close(fd) }

func closeFile(f *os.File) { _ = f.Close() }
