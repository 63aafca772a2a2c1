package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Port is sshd's.
const Port = 22

// SSH is the command to run one on the machine as a user, or a shell for no arguments.
func (ms Machines) SSH(ctx context.Context, m *Machine, user string, command ...string) *exec.Cmd {
	args := append(ms.sshOptions(), fmt.Sprintf("%s@%s", user, m.Spec.Address))
	return exec.CommandContext(ctx, "ssh", append(args, command...)...)
}

// Put is the command to copy a file to the machine.
func (ms Machines) Put(ctx context.Context, m *Machine, user, file, path string) *exec.Cmd {
	return exec.CommandContext(ctx, "scp", append(ms.sshOptions(), "-q", file, fmt.Sprintf("%s@%s:%s", user, m.Spec.Address, path))...)
}

// sshOptions let nothing of the host's own configuration in.
func (ms Machines) sshOptions() []string {
	options := []string{"-F", "/dev/null", "-i", ms.Image().Key()}
	for _, o := range []string{
		"UserKnownHostsFile=" + ms.Image().KnownHosts(), "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes", "HostKeyAlgorithms=ssh-ed25519",
		"IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=5", "ServerAliveInterval=10", "LogLevel=ERROR",
	} {
		options = append(options, "-o", o)
	}
	return options
}

// Wait waits until one can log in.
func (ms Machines) Wait(ctx context.Context, m *Machine, say func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := ms.SSH(ctx, m, "root", "true").CombinedOutput()
		if err == nil {
			return nil
		}
		if _, running := m.Running(); !running {
			return fmt.Errorf("machine %s is off: %s", m.Spec.Name, lastLineOf(m.path("qemu.log")))
		}
		say(lastLineOf(m.Console()))
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody could log in on machine %s within %s: %w: %s; %s tells how far it came", m.Spec.Name, startTimeout, err, strings.TrimSpace(string(out)), m.Console())
		case <-tick.C:
		}
	}
}

// lastLineOf is the file's last line that is not empty.
func lastLineOf(file string) string {
	raw, _ := os.ReadFile(file) // what cannot be read says nothing
	lines := strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			return line
		}
	}
	return ""
}
