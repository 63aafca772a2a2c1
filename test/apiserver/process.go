package apiserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// directoryPrefix and the test binary's pid begin the name of a control plane's directory.
const directoryPrefix = "drover-apiserver-"

// newDirectory makes a directory for a control plane, and removes those that test binaries left which were killed.
func newDirectory() (string, error) {
	stale, err := filepath.Glob(filepath.Join(os.TempDir(), directoryPrefix+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range stale {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), directoryPrefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", directoryPrefix, os.Getpid()))
}

// mortal writes a script that runs the binary so that it dies with the test binary, however that ends. envtest starts
// its processes itself and leaves them behind when it is killed.
func mortal(dir, binary string) (string, error) {
	script := filepath.Join(dir, "run-"+filepath.Base(binary))
	content := fmt.Sprintf("#!/bin/sh\nexec setpriv --pdeathsig KILL -- '%s' \"$@\"\n", binary)
	return script, os.WriteFile(script, []byte(content), 0o700)
}

// process is a child in a process group of its own.
type process struct {
	command *exec.Cmd
	done    chan struct{}
}

func startProcess(log, path string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	command := exec.Command(path, args...)
	command.Stdout, command.Stderr = out, out
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	started := &process{command: command, done: make(chan struct{})}
	go func() {
		defer close(started.done)
		_ = command.Wait()
	}()
	return started, nil
}

// stop asks the group to end, and makes it after the deadline.
func (p *process) stop() {
	group := -p.command.Process.Pid
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, stopTimeout / 2}, {syscall.SIGKILL, stopTimeout}} {
		_ = syscall.Kill(group, step.signal)
		select {
		case <-p.done:
			return
		case <-time.After(step.wait):
		}
	}
}
