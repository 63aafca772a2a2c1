package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// monitorTimeout bounds a command to the emulator, which answers at once.
const monitorTimeout = 20 * time.Second

// prompt ends each answer of the monitor's.
const prompt = "(qemu) "

func (m *Machine) monitor() string { return m.path("monitor") }

// Monitor gives the emulator a command of its monitor's (system_reset; stop; set_link net off) and returns the answer.
func (m *Machine) Monitor(ctx context.Context, command string) (string, error) {
	answer, err := m.askMonitor(ctx, command)
	if err != nil {
		return "", fmt.Errorf("tell the emulator of machine %s to %s: %w", m.Spec.Name, command, err)
	}
	return answer, nil
}

func (m *Machine) askMonitor(ctx context.Context, command string) (string, error) {
	if _, running := m.Running(); !running {
		return "", errors.New("it does not run")
	}
	// A socket's path may have no more than 107 bytes, which a checkout's may exceed: it is reached through its folder.
	dir, err := os.Open(m.dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = dir.Close() }()
	connection, err := (&net.Dialer{Timeout: monitorTimeout}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/monitor", dir.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(monitorTimeout)); err != nil {
		return "", err
	}
	if _, err := readPrompt(connection); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(connection, command); err != nil {
		return "", err
	}
	answer, err := readPrompt(connection)
	// The first line is an echo of the command.
	_, answer, _ = strings.Cut(answer, "\n")
	return strings.TrimSpace(strings.ReplaceAll(answer, "\r", "")), err
}

// readPrompt reads up to the monitor's prompt.
func readPrompt(connection net.Conn) (string, error) {
	var said strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := connection.Read(buffer)
		said.Write(buffer[:n])
		if text, complete := strings.CutSuffix(said.String(), prompt); complete {
			return text, nil
		}
		if err != nil {
			return "", fmt.Errorf("read what the emulator says: %w", err)
		}
	}
}
