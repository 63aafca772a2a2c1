package machineinit

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
)

// agentShare is the part of the stopping time that the agent has before everything else is told to stop too.
const agentShare = 3

// keeper is init once the machine stands: one goroutine, so that no child can end before it is known.
type keeper struct {
	agent    []string
	stopTime time.Duration
	signals  chan os.Signal
	restarts restarts
	vigil    vigil

	pid     int
	started time.Time
}

// newKeeper is init for a machine that stands, whose agent is heard of at socket.
func newKeeper(boot *node.LocalBoot, socket string) *keeper {
	k := &keeper{
		agent: boot.Agent, stopTime: time.Duration(boot.StopSeconds) * time.Second, signals: make(chan os.Signal, 16),
		vigil: newVigil(time.Duration(boot.PatienceSeconds)*time.Second, socket),
	}
	signal.Notify(k.signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT)
	return k
}

// run returns when the machine is to end; the kernel ends what is left then.
func (k *keeper) run() int {
	again := time.NewTimer(0)
	defer again.Stop()
	previous := false
	for {
		select {
		case <-again.C:
			if err := k.start(previous); err != nil {
				say("The agent did not start: %v", err)
				var delay time.Duration
				delay, previous = k.restarts.next(0, false, hasPrevious())
				again.Reset(delay)
			}
		case w := <-k.vigil.heard():
			if w.PID == k.pid {
				k.vigil.hear(w.Text)
			}
		case <-k.vigil.overdue.C:
			if k.pid > 0 {
				say("The agent was not heard of for %s and is ended", k.vigil.patience)
				_ = unix.Kill(k.pid, unix.SIGKILL) // its end is told by the signal
			}
		case s := <-k.signals:
			if s != unix.SIGCHLD {
				say("Stopping")
				k.stop()
				return 0
			}
			ended, status := k.reap()
			if !ended {
				continue
			}
			ran := time.Since(k.started)
			var delay time.Duration
			delay, previous = k.restarts.next(ran, status.Exited() && status.ExitStatus() == 0, hasPrevious())
			say("The agent ended (%s) after %s and starts again in %s", describeStatus(status), ran.Round(time.Millisecond), delay)
			again.Reset(delay)
		}
	}
}

func (k *keeper) start(previous bool) error {
	binary := k.agent[0]
	if previous {
		binary = node.PreviousAgentPath
	}
	pid, err := syscall.ForkExec(binary, k.agent, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, k.vigil.environment()...),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", binary, err)
	}
	k.pid, k.started = pid, time.Now()
	k.vigil.begin()
	return nil
}

// reap collects every child that ended, the machine's orphans among them, and says whether the agent was one.
func (k *keeper) reap() (ended bool, agent syscall.WaitStatus) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return ended, agent
		}
		if pid == k.pid {
			ended, agent, k.pid = true, status, 0
			k.vigil.begin() // of nobody
		}
	}
}

// stop ends the agent first, so that it starts nothing again, then everything else, within the plan's time.
func (k *keeper) stop() {
	deadline := time.Now().Add(k.stopTime)
	if k.pid > 0 {
		_ = unix.Kill(k.pid, unix.SIGTERM)
		k.await(time.Now().Add(k.stopTime/agentShare), func() bool { return k.pid == 0 })
	}
	// From the first process of a pid namespace, -1 is everything in it but itself.
	if err := unix.Kill(-1, unix.SIGTERM); err != nil {
		return
	}
	k.await(deadline, func() bool { return unix.Kill(-1, 0) != nil })
}

func (k *keeper) await(deadline time.Time, done func() bool) {
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	for k.reap(); !done(); k.reap() {
		select {
		case <-k.signals:
		case <-timeout.C:
			return
		}
	}
}

func hasPrevious() bool {
	_, err := os.Stat(node.PreviousAgentPath)
	return err == nil
}

func describeStatus(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprintf("code %d", s.ExitStatus())
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s init: %s\n", time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}
