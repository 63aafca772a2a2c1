package selfupdate

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/host"
)

// thisMoment is now.
func thisMoment() moment {
	m := moment{Boot: host.BootID()}
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err == nil {
		m.Since = time.Duration(since.Nano())
	}
	return m
}
