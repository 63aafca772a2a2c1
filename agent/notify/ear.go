package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Word is what a process said.
type Word struct {
	PID  int
	Text string
}

// Ear hears what programs say.
type Ear struct {
	path  string
	conn  *net.UnixConn
	words chan Word
}

// Listen makes the socket.
func Listen(path string) (*Ear, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(failed, err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen at %s: %w", path, err), conn.Close())
	}
	e := &Ear{path: path, conn: conn, words: make(chan Word, 16)}
	go e.listen()
	return e, nil
}

// Heard has what is said. It is closed by Close.
func (e *Ear) Heard() <-chan Word { return e.words }

// Close ends listening.
func (e *Ear) Close() error { return e.conn.Close() }

// Environment is that of a program that is to be heard here, at least once within some time.
func (e *Ear) Environment(within time.Duration) []string {
	return Runner{socket: e.path, within: within}.Environment()
}

func (e *Ear) listen() {
	defer close(e.words)
	data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		n, m, _, _, err := e.conn.ReadMsgUnix(data, control)
		if err != nil {
			return
		}
		if pid := sender(control[:m]); pid > 0 {
			e.words <- Word{PID: pid, Text: string(data[:n])}
		}
	}
}

// sender is the process that sent a message, as the kernel has it; 0 if it has none.
func sender(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for i := range messages {
		if who, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return int(who.Pid)
		}
	}
	return 0
}
