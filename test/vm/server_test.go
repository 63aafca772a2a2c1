package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-dev/drover/controllers/host/remote"
)

// Server is a virtual machine and the ways into it, as drover-vm prints them.
type Server struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Port    int    `json:"port"`
	// Password is what sudo asks operator for.
	Password string `json:"password"`
	// Key is the file of the private key, HostKey what sshd shows.
	Key     string `json:"key"`
	HostKey string `json:"hostKey"`
	// Console is the file of what the machine says on its console.
	Console string `json:"console"`
	// Link is the machine's on the host.
	Link string `json:"link"`

	root string
	// namespace has what the tests apply of this machine.
	namespace string
	// sample makes the machine a node, of this version of Kubernetes.
	sample, version string
	// stock is what the machine held before any test.
	stock Snapshot

	mu sync.Mutex
	// login is root's, which is kept: to log in takes the machine a second or two.
	login remote.Connection
}

// start boots one of the tests' machines, and looks at what it holds.
func start(ctx context.Context, root, name, address, namespace string) (*Server, error) {
	s := &Server{Name: name, root: root, namespace: namespace}
	out, err := s.drover(ctx, 7*time.Minute, "", "up", name, address)
	if err == nil {
		err = json.Unmarshal([]byte(out), s)
	}
	if err == nil {
		s.stock, err = s.look(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start the machine %s: %w", name, err)
	}
	return s, nil
}

// drover runs drover-vm and returns what it prints. The error has what it complains of.
func (s *Server) drover(ctx context.Context, limit time.Duration, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, ".drover", "bin", "drover-vm"), args...)
	cmd.Dir = s.root
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("drover-vm %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// commandLimit bounds a command on the machine.
const commandLimit = 2 * time.Minute

// asRoot runs a shell's line as root, and logs in for it if the machine went away since the last.
func (s *Server) asRoot(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.login == nil {
		key, err := os.ReadFile(s.Key)
		if err != nil {
			return "", err
		}
		signers, err := remote.ParseKeys(map[string][]byte{s.Key: key})
		if err != nil {
			return "", err
		}
		if s.login, err = remote.Dial(ctx, remote.Target{Address: s.Address, Port: s.Port, Signers: signers, HostKeys: []string{s.HostKey}}); err != nil {
			return "", err
		}
	}
	out, err := s.login.Run(ctx, line, nil)
	if err != nil && remote.ReasonOf(err) != remote.CommandFailed {
		_ = s.login.Close()
		s.login = nil
	}
	return strings.TrimSpace(string(out)), err
}

// as logs in as a user and runs a shell's line.
func (s *Server) as(ctx context.Context, user, line string) (string, error) {
	out, err := s.drover(ctx, commandLimit, "", "ssh", "--user", user, s.Name, line)
	return strings.TrimSpace(out), err
}

// run runs a shell's line as root, which must end well.
func (s *Server) run(t *testing.T, line string) string {
	t.Helper()
	out, err := s.asRoot(t.Context(), line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// atEnd runs a line as root when the test has ended, to undo what it did.
func (s *Server) atEnd(t *testing.T, line string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := s.asRoot(context.WithoutCancel(t.Context()), line); err != nil {
			t.Error(err)
		}
	})
}

// put copies a file to the machine.
func (s *Server) put(t *testing.T, file, path string) {
	t.Helper()
	if _, err := s.drover(t.Context(), commandLimit, "", "put", s.Name, file, path); err != nil {
		t.Fatal(err)
	}
}

// putJSON writes a document to a file of the machine.
func (s *Server) putJSON(t *testing.T, document any, path string) {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "document.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.put(t, file, path)
}

// awaitAnswer runs a line as root until it prints what is wanted.
func (s *Server) awaitAnswer(t *testing.T, line, want string) {
	t.Helper()
	eventually(t, 2*time.Minute, line, func(ctx context.Context) error {
		got, err := s.asRoot(ctx, line)
		if !strings.Contains(got, want) {
			return fmt.Errorf("it prints %q, want %q: %w", got, want, err)
		}
		return nil
	})
}

// monitor gives the machine's emulator a command: "set_link net off" takes it from the network, "stop" halts it.
func (s *Server) monitor(t *testing.T, command string) {
	t.Helper()
	if _, err := s.drover(t.Context(), commandLimit, "", "monitor", s.Name, command); err != nil {
		t.Fatal(err)
	}
}

// bootID is another one after each boot.
func (s *Server) bootID(ctx context.Context) (string, error) {
	return s.asRoot(ctx, "cat /proc/sys/kernel/random/boot_id")
}

// stalled returns true when the machine's kernel says that a processor gets no further and nobody can log in, and false when
// the context ends. A busy host can make the kernel say so of a processor that does get further.
func (s *Server) stalled(ctx context.Context) bool {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for told := 0; ; {
		said, err := os.ReadFile(s.Console)
		if stalls := len(kernelStall.FindAll(said, -1)); err == nil && stalls != told {
			told = stalls
			if _, err := s.drover(ctx, time.Minute, "", "ssh", s.Name, "true"); stalls > 0 && err != nil && ctx.Err() == nil {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// kernelStall is what Linux says then.
var kernelStall = regexp.MustCompile(`rcu: INFO: rcu_\S+ (self-)?detected stall`)

// awaitBoot waits until the machine has booted since the boot of that ID, and is done with it.
func (s *Server) awaitBoot(t *testing.T, former string) {
	t.Helper()
	eventually(t, 6*time.Minute, "boot anew", func(ctx context.Context) error {
		if id, err := s.bootID(ctx); err != nil || id == former {
			return fmt.Errorf("the boot is %s: %w", id, err)
		}
		state, err := s.asRoot(ctx, "systemctl is-system-running")
		if err != nil {
			return fmt.Errorf("systemd is %s: %w", state, err)
		}
		return nil
	})
}

// eventually polls until check reports no complaint, and fails with its last one after limit.
func eventually(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := fmt.Errorf("never looked")
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, limit, last)
		case <-tick.C:
		}
	}
}
