package machineinit

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
)

// mountAll makes the mounts of the plan in their order. The first is the root itself.
func mountAll(root string, mounts []node.LocalBootMount) error {
	for _, m := range mounts {
		if err := mountOne(root, m); err != nil {
			return fmt.Errorf("mount %s on %s: %w", describe(m), m.Target, err)
		}
	}
	return nil
}

func describe(m node.LocalBootMount) string {
	switch {
	case m.Link != "":
		return "a link to " + m.Link
	case m.Source != "":
		return m.Source
	}
	return m.Type
}

func mountOne(root string, m node.LocalBootMount) error {
	if m.Link != "" {
		return linkBelow(root, m.Target, m.Link)
	}
	bind := m.Type == "bind" || m.Type == "rbind"
	target, err := openTarget(root, m.Target, bind && isFile(m.Source))
	if err != nil {
		return err
	}
	defer closeFD(target)
	if err := unix.Mount(source(m), fdPath(target), fsType(m, bind), mountFlags(m, bind), m.Options); err != nil {
		return err
	}
	if !bind || mountFlags(m, false) == 0 {
		return nil
	}
	// A bind takes flags only when it is remounted, through a descriptor that is on top of it.
	mounted, err := openBelow(root, m.Target)
	if err != nil {
		return err
	}
	defer closeFD(mounted)
	return unix.Mount("", fdPath(mounted), "", unix.MS_REMOUNT|unix.MS_BIND|mountFlags(m, false), "")
}

func source(m node.LocalBootMount) string {
	if m.Source != "" {
		return m.Source
	}
	return m.Type
}

func fsType(m node.LocalBootMount, bind bool) string {
	if bind {
		return ""
	}
	return m.Type
}

// mountFlags are m's flags; of a bind's own only whether it is recursive.
func mountFlags(m node.LocalBootMount, bind bool) uintptr {
	if bind {
		if m.Type == "rbind" {
			return unix.MS_BIND | unix.MS_REC
		}
		return unix.MS_BIND
	}
	var flags uintptr
	for flag, set := range map[uintptr]bool{unix.MS_RDONLY: m.ReadOnly, unix.MS_NOSUID: m.NoSuid, unix.MS_NODEV: m.NoDev, unix.MS_NOEXEC: m.NoExec} {
		if set {
			flags |= flag
		}
	}
	return flags
}

func isFile(name string) bool {
	var st unix.Stat_t
	return unix.Stat(name, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// openBelow opens a path below root, resolving every link inside root.
func openBelow(root, target string) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", root, err)
	}
	defer closeFD(dir)
	return unix.Openat2(dir, relative(target), &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
}

func relative(target string) string {
	if r := strings.TrimPrefix(path.Clean("/"+target), "/"); r != "" {
		return r
	}
	return "."
}

// openTarget opens a mount point below root, and makes it, with the directories above it, if it is not there.
func openTarget(root, target string, file bool) (int, error) {
	fd, err := openBelow(root, target)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	parent, err := openTarget(root, path.Dir(path.Clean("/"+target)), false)
	if err != nil {
		return -1, err
	}
	defer closeFD(parent)
	if file {
		made, err := unix.Openat(parent, path.Base(target), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return -1, err
		}
		_ = unix.Close(made)
	} else if err := unix.Mkdirat(parent, path.Base(target), 0o755); err != nil {
		return -1, err
	}
	return openBelow(root, target)
}

// linkBelow makes a symbolic link below root unless something has that name.
func linkBelow(root, target, to string) error {
	parent, err := openTarget(root, path.Dir(target), false)
	if err != nil {
		return err
	}
	defer closeFD(parent)
	if err := unix.Symlinkat(to, parent, path.Base(target)); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// closeFD closes a descriptor that was only read or walked through: nothing is lost with its error.
func closeFD(fd int) { _ = unix.Close(fd) }
