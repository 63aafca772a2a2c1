// Package pidfd ends processes by a hold on them (pidfd_open(2)), for a PID may change hands.
package pidfd

import "golang.org/x/sys/unix"

// Kill sends SIGKILL to a process if it still is the one that is meant once there is a hold on it, and says whether it did.
func Kill(pid int, isMeant func(pid int) bool) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return isMeant(pid) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}
