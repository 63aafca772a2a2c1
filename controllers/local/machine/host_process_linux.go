package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/procfs"
)

// The word and the answer, as agent/machineinit has them. A test holds the two together.
const (
	gateByte      = 'g'
	startedAnswer = "started\n"
)

const machineNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET

// Launch implements Host. Nothing ties the machine to this process: no parent-death signal, a session of its own,
// its output in a file.
func (h LinuxHost) Launch(l Launch) (_ Waiting, err error) {
	console, err := os.OpenFile(l.Console, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the console's log: %w", err)
	}
	defer closeFile(console)
	gateIn, gate, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer closeFile(gateIn)
	answer, answerIn, err := os.Pipe()
	if err != nil {
		_ = gate.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer closeFile(answerIn)
	w := &waiting{gate: gate, answer: answer}
	cmd := exec.Command(l.Command[0], l.Command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = console, console, "/", []string{}
	cmd.ExtraFiles = []*os.File{gateIn, answerIn}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: machineNamespaces, Setsid: true}
	if err := cmd.Start(); err != nil {
		w.close()
		return nil, unmakeable(fmt.Sprintf("The machine's first process did not start (%v): check that the manager is root, may make namespaces, and that --agent-binary runs.", err))
	}
	w.process = Process{PID: cmd.Process.Pid}
	_ = cmd.Process.Release()
	if err := w.identify(); err != nil {
		w.Abort()
		return nil, err
	}
	for _, dir := range l.Cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(w.process.PID)), 0); err != nil {
			w.Abort()
			return nil, fmt.Errorf("put the machine into its cgroup %s: %w", dir, err)
		}
	}
	return w, nil
}

type waiting struct {
	process      Process
	gate, answer *os.File
}

func (w *waiting) Process() Process { return w.process }

// identify completes what is known of the process. If it cannot, the ID stays for Abort.
func (w *waiting) identify() error {
	p, err := identify(w.process.PID)
	if err != nil {
		return err
	}
	w.process = p
	return nil
}

func (w *waiting) close() { _ = errors.Join(w.gate.Close(), w.answer.Close()) }

// Abort ends the process, which waits for a word that never comes, and returns when it is gone.
func (w *waiting) Abort() {
	w.close()
	killOne(w.process.PID)
	collect(w.process.PID, 0)
}

// isOne says whether the ID is one process's that may be a machine's. To kill(2) and wait4(2), zero and negative ones
// are groups, this process's own among them; 1 is the host's init.
func isOne(pid int) bool { return pid > 1 }

// killOne kills that process, and nothing if the ID is not one's.
func killOne(pid int) {
	if isOne(pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// collect waits for that process, as wait4(2)'s options say, if it is this one's child. Adopted ones are the host's
// init's to collect.
func collect(pid, options int) {
	var status unix.WaitStatus
	for isOne(pid) {
		if _, err := unix.Wait4(pid, &status, options, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (w *waiting) Go(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = w.answer.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := w.gate.Write([]byte{gateByte})
	var said []byte
	if err == nil {
		said, err = io.ReadAll(io.LimitReader(w.answer, 64<<10))
	}
	if err == nil && string(said) == startedAnswer {
		w.close()
		return nil
	}
	w.Abort()
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("it did not stand within %s", timeout)
	case err != nil:
		return err
	case len(said) == 0:
		return errors.New("it ended without a word; its console.log may say why")
	}
	return errors.New(string(said))
}

// identify reads what tells this process from a later one with its ID.
func identify(pid int) (Process, error) {
	stat, err := procfs.ReadStat(pid)
	if err != nil {
		return Process{}, err
	}
	bootID, err := procfs.BootID()
	return Process{PID: pid, StartTime: stat.StartTime, HostBootID: bootID}, err
}

// Alive implements Host.
func (LinuxHost) Alive(p Process) (bool, error) {
	stat, err := procfs.ReadStat(p.PID)
	if procfs.IsGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if stat.Ended() || stat.StartTime != p.StartTime {
		return false, nil
	}
	bootID, err := procfs.BootID()
	return err == nil && bootID == p.HostBootID, err
}

// find returns ESRCH if that very process is gone, and another error if nobody knows.
func (h LinuxHost) find(p Process) error {
	alive, err := h.Alive(p)
	if err == nil && !alive {
		return unix.ESRCH
	}
	return err
}

// Signal implements Host.
func (h LinuxHost) Signal(p Process, s syscall.Signal) error {
	fd, err := h.open(p)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeFD(fd)
	if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to the machine's process %d: %w", s, p.PID, err)
	}
	return nil
}

// open returns a descriptor of that very process, or ESRCH.
func (h LinuxHost) open(p Process) (int, error) {
	if !isOne(p.PID) {
		return -1, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("open the machine's process %d: %w", p.PID, err)
	}
	if err := h.find(p); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Watch implements Host. A pid namespace's first process ends after all others in it. The runtime's poller waits: a
// machine costs a goroutine, no thread.
func (h LinuxHost) Watch(ctx context.Context, p Process) (<-chan struct{}, error) {
	gone := make(chan struct{})
	fd, err := h.open(p)
	if errors.Is(err, unix.ESRCH) {
		collect(p.PID, unix.WNOHANG)
		close(gone)
		return gone, nil
	}
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("watch the machine's process %d: %w", p.PID, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	go func() {
		defer close(gone)
		defer closeFile(file)
		defer stop()
		err := conn.Read(func(fd uintptr) bool {
			ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // A descriptor is small.
			n, err := unix.Poll(ready, 0)
			return err == nil && n > 0
		})
		if err == nil {
			collect(p.PID, unix.WNOHANG)
		}
	}()
	return gone, nil
}
