package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// packages are those beside the essential ones: what a server has that was set up from Debian's installer.
var packages = []string{
	"systemd", "systemd-sysv", "systemd-resolved", "dbus", "udev", "kmod", "openssh-server", "iproute2", "iptables", "nftables",
	"ca-certificates", "sudo", "procps", "iputils-ping", "curl", "initramfs-tools",
}

// kernel is installed last, so that its initial RAM disk is made by initramfs-tools as it was configured.
const kernel = "linux-image-cloud-amd64"

// builder makes an image in its folder.
type builder struct {
	Image
	mirror string
	log    io.Writer
}

func (b builder) build(ctx context.Context) error {
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return fmt.Errorf("build the image: %w", err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"make the key", b.makeKey},
		{"unpack Debian's packages", b.debootstrap},
		{"configure the system", b.configure},
		{"install the kernel", b.installKernel},
		{"make the disk", b.makeDisk},
	} {
		if _, err := fmt.Fprintf(b.log, "=== %s\n", step.name); err != nil {
			return fmt.Errorf("write the build's log: %w", err)
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return os.RemoveAll(b.root())
}

// root is the folder that becomes the disk's content.
func (b builder) root(elem ...string) string {
	return filepath.Join(append([]string{b.Dir, "root"}, elem...)...)
}

func (b builder) makeKey(ctx context.Context) error {
	return b.run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "drover-vm", "-f", b.Key())
}

func (b builder) debootstrap(ctx context.Context) error {
	// In a mount namespace, so that no mount of its outlives a build that is killed.
	return b.run(ctx, "unshare", "--mount", "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, b.root(), b.mirror)
}

func (b builder) installKernel(ctx context.Context) error {
	if err := b.inRoot(ctx, "apt-get", "install", "-y", "-q", "--no-install-recommends", kernel); err != nil {
		return err
	}
	return errors.Join(
		b.inRoot(ctx, "apt-get", "clean"),
		os.Remove(b.root(noServices)),
		copyMatch(b.root("boot", "vmlinuz-*"), b.Kernel()),
		copyMatch(b.root("boot", "initrd.img-*"), b.Initrd()),
		b.makeAnonymous(),
	)
}

func (b builder) makeDisk(ctx context.Context) error {
	// The filesystem's tables are written when the kernel has time: the file stays sparse.
	return b.run(ctx, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d", b.root(), b.Disk(), size)
}

// inRoot runs a command in the system that is made. Its mounts and processes end with it.
func (b builder) inRoot(ctx context.Context, name string, args ...string) error {
	const enter = `mount --make-rprivate / && mount -t proc none "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"`
	return b.run(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter, b.root(),
		"env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", name}, args...)...)
}

func (b builder) run(ctx context.Context, name string, args ...string) error {
	return b.runWith(ctx, "", name, args...)
}

// runWith runs a command with input. Its last line is the error's.
func (b builder) runWith(ctx context.Context, input, name string, args ...string) error {
	last := &lastLine{}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout = io.MultiWriter(b.log, last)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, last)
	}
	return nil
}

// lastLine keeps the last line that is written to it and not empty, however it comes in pieces.
type lastLine struct{ last, unfinished []byte }

func (l *lastLine) Write(p []byte) (int, error) {
	lines := bytes.Split(append(l.unfinished, p...), []byte("\n"))
	for _, line := range lines[:len(lines)-1] {
		if len(bytes.TrimSpace(line)) > 0 {
			l.last = line
		}
	}
	l.unfinished = slices.Clone(lines[len(lines)-1])
	return len(p), nil
}

func (l *lastLine) String() string {
	if line := bytes.TrimSpace(l.unfinished); len(line) > 0 {
		return string(line)
	}
	return string(bytes.TrimSpace(l.last))
}

func copyMatch(pattern, to string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return fmt.Errorf("%d files match %s, want one", len(files), pattern)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o644)
}
