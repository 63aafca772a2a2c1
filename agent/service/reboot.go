package service

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
)

// Reboot has the machine rebooted in good order: by systemd, which ends the pods before the components (NodeUnit), or, in a local
// machine, by the init that the agent is a child of, which the provider boots again. It returns when that is under way.
func Reboot(ctx context.Context) error {
	if booted("/") {
		return systemctl(ctx, "reboot")
	}
	if _, err := os.Stat(node.BootIDPath); err != nil {
		return errors.New("reboot the machine: neither systemd nor Drover's own init runs it, and the agent knows no other way: reboot it by hand")
	}
	if err := unix.Kill(1, unix.SIGTERM); err != nil {
		return fmt.Errorf("have the machine's init end it: %w", err)
	}
	return nil
}
