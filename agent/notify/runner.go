package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a program says.
const (
	Ready = "READY=1"
	Alive = "WATCHDOG=1"
	// Status goes before a sentence for whoever looks at the program.
	Status = "STATUS="
)

// The variables by which a program is told of the socket, and of how often it is to be heard of, in microseconds.
const (
	socketVariable   = "NOTIFY_SOCKET"
	intervalVariable = "WATCHDOG_USEC"
	pidVariable      = "WATCHDOG_PID"
)

// Runner is whoever runs this program. The zero Runner listens to nothing.
type Runner struct {
	socket string
	within time.Duration
}

// FromEnvironment takes the runner's words out of the environment: they are for this program, and not for those that it starts,
// of which containerd and the kubelet would speak there too.
func FromEnvironment() Runner {
	r := Runner{socket: os.Getenv(socketVariable)}
	usec, err := strconv.ParseInt(os.Getenv(intervalVariable), 10, 64)
	if pid := os.Getenv(pidVariable); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		r.within = time.Duration(usec) * time.Microsecond
	}
	for _, name := range []string{socketVariable, intervalVariable, pidVariable} {
		_ = os.Unsetenv(name) // fails for no valid name
	}
	return r
}

// Environment is what FromEnvironment took, for a program that takes this one's place and keeps its process ID.
func (r Runner) Environment() []string {
	if r.socket == "" {
		return nil
	}
	all := []string{socketVariable + "=" + r.socket}
	if r.within > 0 {
		all = append(all, fmt.Sprintf("%s=%d", intervalVariable, r.within.Microseconds()))
	}
	return all
}

// Say tells the runner something.
func (r Runner) Say(words string) error {
	if r.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: r.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the init system %s: %w", words, err)
	}
	_, err = conn.Write([]byte(words))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("tell the init system %s: %w", words, err)
	}
	return nil
}

// KeepSaying tells the runner that this program lives, four times in the time that it waits for that, until the context ends.
// Before each time it calls look, which returns if the program does.
func (r Runner) KeepSaying(ctx context.Context, look func()) {
	if r.within <= 0 {
		return
	}
	tick := time.NewTicker(r.within / 4)
	defer tick.Stop()
	for {
		look()
		_ = r.Say(Alive) // one that is lost is followed by another
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Says whether words, as a program said them, have one of these lines.
func Says(words, line string) bool {
	for each := range strings.Lines(words) {
		if strings.TrimSpace(each) == line {
			return true
		}
	}
	return false
}
