package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// noServices is the file that keeps packages from starting services while they are installed.
const noServices = "usr/sbin/policy-rc.d"

// file is one to write into the system that is made.
type file struct {
	path, text string
	mode       os.FileMode
}

// files make the system bootable, reachable and quick to start. They are what an administrator sets, too.
var files = []file{
	{noServices, "#!/bin/sh\nexit 101\n", 0o755},
	{"etc/fstab", "/dev/vda / ext4 defaults,discard 0 1\n", 0o644},
	{"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644},
	// Four modules instead of all of them: the initial RAM disk is unpacked by an emulated CPU.
	{"etc/initramfs-tools/conf.d/small", "MODULES=list\n", 0o644},
	{"etc/initramfs-tools/modules", "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n", 0o644},
	{"etc/ssh/sshd_config.d/vm.conf", "UseDNS no\nPasswordAuthentication no\n", 0o644},
	{"etc/sudoers.d/debian", "debian ALL=(ALL) NOPASSWD:ALL\n", 0o440},
	// A journal that outlives a reboot.
	{"var/log/journal/.keep", "", 0o644},
}

// enabled are the units for the network: systemd-network-generator turns the kernel's ip= into a file of networkd's.
var enabled = []string{"systemd-networkd", "systemd-resolved", "systemd-network-generator", "ssh"}

// masked are units that would take the machine's time while a test runs, or the boot's.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
	"systemd-networkd-wait-online.service", "getty@tty1.service",
}

func (b builder) configure(ctx context.Context) error {
	for _, f := range files {
		if err := b.write(f); err != nil {
			return err
		}
	}
	// The host's own answers while packages are installed; the name is given to each machine by systemd.hostname=.
	if err := errors.Join(b.copyResolvers(), removeIfThere(b.root("etc/hostname"))); err != nil {
		return err
	}
	if err := errors.Join(
		b.inRoot(ctx, "systemctl", append([]string{"-q", "enable"}, enabled...)...),
		b.inRoot(ctx, "systemctl", append([]string{"-q", "mask"}, masked...)...),
		b.inRoot(ctx, "ssh-keygen", "-q", "-A"),
	); err != nil {
		return err
	}
	return errors.Join(b.addUsers(ctx), b.noteHostKey())
}

func (b builder) addUsers(ctx context.Context) error {
	for _, u := range Users() {
		home := "root"
		if u.Name != "root" {
			home = filepath.Join("home", u.Name)
			// Debian has a group operator already.
			if err := b.inRoot(ctx, "useradd", "--no-user-group", "--create-home", "--shell=/bin/bash", u.Name); err != nil {
				return err
			}
		}
		if err := b.authorize(ctx, u.Name, home); err != nil {
			return err
		}
	}
	const asked = "operator"
	if err := b.inRoot(ctx, "usermod", "--append", "--groups=sudo", asked); err != nil {
		return err
	}
	return b.runWith(ctx, asked+":"+Password+"\n", "chpasswd", "--root", b.root())
}

func (b builder) authorize(ctx context.Context, user, home string) error {
	key, err := os.ReadFile(b.Key() + ".pub")
	if err != nil {
		return err
	}
	dir := filepath.Join(home, ".ssh")
	if err := b.write(file{filepath.Join(dir, "authorized_keys"), string(key), 0o600}); err != nil {
		return err
	}
	return errors.Join(os.Chmod(b.root(dir), 0o700), b.inRoot(ctx, "chown", "-R", user+":", "/"+dir))
}

func (b builder) noteHostKey() error {
	raw, err := os.ReadFile(b.root("etc/ssh/ssh_host_ed25519_key.pub"))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return fmt.Errorf("the host key is no public key: %q", raw)
	}
	return os.WriteFile(b.KnownHosts(), []byte(anyHost+strings.Join(fields[:2], " ")+"\n"), 0o644)
}

// makeAnonymous leaves to each machine's first boot what tells machines apart, as Debian's cloud images do.
func (b builder) makeAnonymous() error {
	resolv := b.root("etc/resolv.conf")
	return errors.Join(
		os.WriteFile(b.root("etc/machine-id"), nil, 0o444),
		removeIfThere(resolv),
		os.Symlink("/run/systemd/resolve/stub-resolv.conf", resolv),
	)
}

func (b builder) copyResolvers() error {
	raw, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	// What is there is a link of systemd-resolved's, which does not answer here.
	return errors.Join(removeIfThere(b.root("etc/resolv.conf")), b.write(file{"etc/resolv.conf", string(raw), 0o644}))
}

func (b builder) write(f file) error {
	path := b.root(f.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
		return err
	}
	return os.Chmod(path, f.mode)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
