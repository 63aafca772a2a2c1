package selfupdate

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/internal/procfs"
)

// thisMoment is now. A local machine has a boot identity of its own; the kernel's is its host's.
func thisMoment() moment {
	var m moment
	if id, err := os.ReadFile(node.BootIDPath); err == nil {
		m.Boot = strings.TrimSpace(string(id))
	} else {
		m.Boot, _ = procfs.BootID()
	}
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err == nil {
		m.Since = time.Duration(since.Nano())
	}
	return m
}
