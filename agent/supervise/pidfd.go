package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handle is a hold on one process that cannot come to mean another one, as a PID can.
type handle struct {
	pid  int
	file *os.File
}

// openHandle takes hold of a process that exists, be it a child or not.
func openHandle(pid int) (*handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open a handle on process %d: %w", pid, err)
	}
	return newHandle(pid, fd)
}

// newHandle wraps a pidfd. It is non-blocking, so that Go's poller waits for it and no thread is spent.
func newHandle(pid, fd int) (*handle, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("make the handle on process %d non-blocking: %w", pid, err), unix.Close(fd))
	}
	return &handle{pid: pid, file: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))}, nil
}

func (h *handle) close() {
	_ = h.file.Close()
}

// wait returns nil when the process has ended, and the context's error when that ends first. One wait at a time is under
// way, and none leaves its read deadline to the next.
func (h *handle) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := h.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("wait for process %d: %w", h.pid, err)
	}
	set := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(set)
		_ = h.file.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-set
		}
	}()
	conn, err := h.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", h.pid, err)
	}
	err = conn.Read(func(fd uintptr) bool { return polled(fd, unix.POLLIN, 0) })
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// signal sends a signal. A process that has ended already is no error.
func (h *handle) signal(sig syscall.Signal) error {
	var err error
	if failed := h.control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); failed != nil {
		return failed
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), h.pid, err)
	}
	return nil
}

func (h *handle) control(do func(fd uintptr)) error {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("use the handle on process %d: %w", h.pid, err)
	}
	return conn.Control(do)
}

// reapTimeout is how long the parent of an adopted process, PID 1 as a rule, gets to reap it: the kernel tells
// others the exit code only afterwards.
const reapTimeout = 500 * time.Millisecond

// exitStatus says how the process ended; ok is false when nobody can know any more. The process must have ended.
func (h *handle) exitStatus() (status syscall.WaitStatus, ok bool) {
	var reaped syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(h.pid, &reaped, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err == nil && pid == h.pid {
			return reaped, true // it was a child of ours
		}
		break
	}
	if err := h.control(func(fd uintptr) {
		polled(fd, 0, reapTimeout) // POLLHUP, which is always polled for, tells that it was reaped
		status, ok = pidfdExitStatus(int(fd))
	}); err != nil {
		return 0, false
	}
	return status, ok
}

// polled waits for one of the events, or POLLHUP, on fd.
func polled(fd uintptr, events int16, timeout time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(fds, int(timeout.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n > 0
	}
}

// pidfdInfo is struct pidfd_info of linux/pidfd.h in its first published size.
type pidfdInfo struct {
	mask     uint64
	cgroupID uint64
	pid      uint32
	tgid     uint32
	ppid     uint32
	ids      [8]uint32
	exitCode int32
}

const (
	// pidfdGetInfo is _IOWR(0xFF, 11, struct pidfd_info).
	pidfdGetInfo = 3<<30 | unsafe.Sizeof(pidfdInfo{})<<16 | 0xFF<<8 | 11
	// pidfdInfoExit asks for the exit code; Linux 6.15 and later answer with the bit set.
	pidfdInfoExit = 1 << 3
)

func pidfdExitStatus(fd int) (syscall.WaitStatus, bool) {
	info := pidfdInfo{mask: pidfdInfoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if errno != 0 || info.mask&pidfdInfoExit == 0 {
		return 0, false
	}
	return syscall.WaitStatus(info.exitCode), true
}
