// Package image makes the disk that virtual machines start from: a Debian 12 as Debian's own packages make it, with
// systemd, cgroup v2 and sshd, and nothing of Drover's. It also keeps what is needed to get in: a key pair that all its
// users accept, and the host key.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// suite is the Debian release.
const suite = "bookworm"

// size is that of the disk. The file is sparse: it takes a fifteenth of it.
const size = "6G"

// buildTimeout bounds a build. It takes two minutes of a quiet host, and several of a busy one.
const buildTimeout = 20 * time.Minute

// Password is the operator's, for sudo; nobody logs in with one.
const Password = "on-the-drove"

// User is an account of the image.
type User struct {
	Name string `json:"name"`
	// Privilege is how it becomes root: root, sudo, password (sudo asks for Password) or none.
	Privilege string `json:"privilege"`
}

// Users are the accounts that the key opens: one for each way to become root, and one that cannot.
func Users() []User {
	return []User{{"root", "root"}, {"debian", "sudo"}, {"operator", "password"}, {"guest", "none"}}
}

// Image is the folder of one.
type Image struct{ Dir string }

// Disk is the root filesystem, raw.
func (i Image) Disk() string { return filepath.Join(i.Dir, "disk.img") }

// Kernel is the kernel to start it with.
func (i Image) Kernel() string { return filepath.Join(i.Dir, "vmlinuz") }

// Initrd is the kernel's initial RAM disk.
func (i Image) Initrd() string { return filepath.Join(i.Dir, "initrd") }

// Key is the private key that all users accept.
func (i Image) Key() string { return filepath.Join(i.Dir, "id") }

// KnownHosts is the host key as ssh's file of known hosts has it, for any address.
func (i Image) KnownHosts() string { return filepath.Join(i.Dir, "known_hosts") }

// HostKey is the host key as sshd has it: ssh-ed25519 AAAA….
func (i Image) HostKey() (string, error) {
	raw, err := os.ReadFile(i.KnownHosts())
	if err != nil {
		return "", fmt.Errorf("read the image's host key: %w: run `make vm-image`", err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(raw)), anyHost), nil
}

const anyHost = "* "

// Exists is true when it was built.
func (i Image) Exists() bool {
	_, err := os.Stat(i.Disk())
	return err == nil
}

// Build makes the image anew, from the mirror, or the one that this host has its own packages from. What the tools say goes
// to log. It needs root. An image is whole or not there.
func (i Image) Build(ctx context.Context, mirror string, log io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("building the image needs root, to make device nodes and change the root folder: run it as root (sudo make vm-image)")
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	if mirror == "" {
		var err error
		if mirror, err = hostMirror(ctx); err != nil {
			return err
		}
	}
	b := builder{Image: Image{Dir: i.Dir + ".part"}, mirror: mirror, log: log}
	if err := os.RemoveAll(b.Dir); err != nil {
		return fmt.Errorf("remove what an earlier build left: %w", err)
	}
	defer func() { _ = os.RemoveAll(b.Dir) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(i.Dir); err != nil {
		return fmt.Errorf("remove the former image: %w", err)
	}
	return os.Rename(b.Dir, i.Dir)
}
