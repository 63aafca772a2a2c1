package machineinit

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
)

// carryOut does what the plan says, in its order. What the machine itself may have changed on an earlier boot (it
// owns every path below its root) is only ever followed inside that root: before the root is /, by descriptors that
// cannot leave it; after, because nothing else is left to reach.
func carryOut(boot *node.LocalBoot) error {
	unix.Umask(0o022)
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep the machine's mounts from its host: %w", err)
	}
	if err := mountAll(boot.Root, boot.Mounts); err != nil {
		return err
	}
	devices, err := lookUpDevices(boot.Devices)
	if err != nil {
		return err
	}
	sources, err := openSources(boot.Files)
	if err != nil {
		return err
	}
	if err := changeRoot(boot.Root); err != nil {
		return err
	}
	if err := makeDevices(devices); err != nil {
		return err
	}
	if err := writeFiles(boot.Files, sources); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(boot.Hostname)); err != nil {
		return fmt.Errorf("set the host name %s: %w", boot.Hostname, err)
	}
	if err := setSysctls(boot.Sysctls); err != nil {
		return err
	}
	if err := configureNetwork(boot.Network); err != nil {
		return err
	}
	return publishBootID(boot.BootID)
}

// changeRoot makes root the only file system there is. The old one is stacked under it for a moment and let go.
func changeRoot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter the machine's root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the machine's root: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the host's root: %w", err)
	}
	return os.Chdir("/")
}

func setSysctls(sysctls []node.LocalBootSysctl) error {
	for _, s := range sysctls {
		file := path.Join("/proc/sys", strings.ReplaceAll(s.Name, ".", "/"))
		if err := os.WriteFile(file, []byte(s.Value), 0); err != nil && !s.Optional {
			return fmt.Errorf("set sysctl %s to %s: %w", s.Name, s.Value, err)
		}
	}
	return nil
}

func publishBootID(id string) error {
	if err := os.MkdirAll(node.RunDir, 0o755); err != nil {
		return fmt.Errorf("publish the boot ID: %w", err)
	}
	if err := os.WriteFile(node.BootIDPath, []byte(id+"\n"), 0o644); err != nil {
		return fmt.Errorf("publish the boot ID: %w", err)
	}
	return nil
}
