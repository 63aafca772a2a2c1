package host

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/internal/procfs"
)

// BootID tells the machine's boots apart; empty where that cannot be found out. A local machine has an identity of its own for each;
// the kernel's is its host's.
func BootID() string {
	if id, err := os.ReadFile(node.BootIDPath); err == nil {
		return strings.TrimSpace(string(id))
	}
	id, _ := procfs.BootID()
	return id
}

// BootedAt is when this boot of the machine began, by its clock as it is now; zero where that cannot be found out.
func BootedAt() time.Time {
	if id, err := os.Stat(node.BootIDPath); err == nil {
		return id.ModTime()
	}
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(since.Nano()))
}
