package sshd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// session runs the one command of a channel.
func (s *Server) session(asked ssh.NewChannel) {
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	var command *exec.Cmd
	ended := make(chan struct{})
	for {
		select {
		case <-ended:
			return
		case request, more := <-requests:
			switch {
			case !more && command == nil:
				return
			case !more:
				// As with OpenSSH, what still runs loses its input and output, and lives on.
				_ = channel.Close()
				<-ended
				return
			case request.Type == "exec" && command == nil:
				command = s.start(channel, request, ended)
			case request.Type == "signal" && command != nil:
				_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
			default:
				_ = request.Reply(false, nil)
			}
		}
	}
}

// start runs what an exec request asks for; nil if it cannot.
func (s *Server) start(channel ssh.Channel, request *ssh.Request, ended chan struct{}) *exec.Cmd {
	var payload struct{ Command string }
	if err := ssh.Unmarshal(request.Payload, &payload); err != nil {
		_ = request.Reply(false, nil)
		return nil
	}
	at := s.cutHere()
	if s.reached(at, BeforeCommand) {
		return nil
	}
	command := s.command(payload.Command)
	stdin, err := command.StdinPipe()
	if err == nil {
		command.Stdout, command.Stderr = channel, channel.Stderr()
		err = s.run(command, payload.Command)
	}
	_ = request.Reply(err == nil, nil)
	if err != nil {
		s.t.Logf("sshd could not run a command: %v", err)
		return nil
	}
	s.work.Go(func() {
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
		s.reached(at, DuringCommand, Crash)
	})
	s.work.Go(func() {
		defer close(ended)
		err := command.Wait()
		s.reached(at, AfterCommand)
		s.report(channel, command, err)
	})
	return command
}

func (s *Server) command(line string) *exec.Cmd {
	command := exec.Command("/bin/sh", "-c", line)
	if s.options.Command != nil {
		command = s.options.Command(line)
	}
	command.Dir = s.options.Dir
	command.Env = append([]string{"PATH=" + s.path, "HOME=" + s.options.Dir}, s.options.Env...)
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	// What a command leaves running may hold its outputs open.
	command.WaitDelay = 10 * time.Second
	return command
}

func (s *Server) run(command *exec.Cmd, line string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, line)
	if s.stopped {
		return errors.New("the server is stopped")
	}
	if err := command.Start(); err != nil {
		return err
	}
	s.running[command] = true
	return nil
}

func (s *Server) report(channel ssh.Channel, command *exec.Cmd, err error) {
	s.mu.Lock()
	delete(s.running, command)
	s.mu.Unlock()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && command.ProcessState == nil {
		return
	}
	status, ok := command.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}{signalName(status.Signal()), false, "", ""}))
		return
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(command.ProcessState.ExitCode())}))
}

func signalName(signal syscall.Signal) string {
	switch signal {
	case syscall.SIGKILL:
		return "KILL"
	case syscall.SIGPIPE:
		return "PIPE"
	default:
		return "TERM"
	}
}

// kill ends a command with all of its group.
func kill(command *exec.Cmd) { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }

// forward makes the server a jump host.
func (s *Server) forward(asked ssh.NewChannel) {
	if s.options.NoForwarding {
		_ = asked.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(asked.ExtraData(), &to); err != nil {
		_ = asked.Reject(ssh.ConnectionFailed, "malformed")
		return
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), 10*time.Second)
	if err != nil {
		_ = asked.Reject(ssh.ConnectionFailed, fmt.Sprint(err))
		return
	}
	if !s.track(conn) {
		return
	}
	defer s.forget(conn)
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	s.work.Go(func() { ssh.DiscardRequests(requests) })
	s.work.Go(func() {
		defer func() { _ = conn.Close() }()
		_, _ = io.Copy(conn, channel)
	})
	_, _ = io.Copy(channel, conn)
	_ = channel.Close()
}

func defaultPath() string {
	if path := os.Getenv("PATH"); path != "" {
		return path
	}
	return "/usr/sbin:/usr/bin:/sbin:/bin"
}
