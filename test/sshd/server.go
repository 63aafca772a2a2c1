package sshd

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options are what a server is like. The zero value has one host key, and a user root with one key.
type Options struct {
	// HostKeys are the server's; a fresh one of type ed25519 if none are given. Certificates are made with NewCertificate.
	HostKeys []ssh.Signer
	// Users are the names that may log in, each with its keys. If nil, it is root with Server.UserKey.
	Users map[string][]ssh.PublicKey
	// Address is where it listens, one of 127.0.0.0/8; 127.0.0.1 if empty.
	Address string
	// Dir is where commands run, and HOME; a directory of the test's if empty.
	Dir string
	// Env is added to the environment of commands.
	Env []string
	// Sudo is what sudo does; without it, that of the machine is found, if there is one.
	Sudo *Sudo
	// NoForwarding refuses to be a jump host.
	NoForwarding bool
	// Command makes the process for what a client asks to run; /bin/sh -c if nil. Dir and the environment are set after
	// it. It is where a test enters a namespace, say.
	Command func(command string) *exec.Cmd
}

// Server is a running server. Its faults may be set at any time.
type Server struct {
	// Address and Port are where it listens.
	Address string
	Port    int
	// UserKey is root's, if Options.Users is nil.
	UserKey ssh.Signer

	t        testing.TB
	options  Options
	path     string
	listener net.Listener
	work     sync.WaitGroup

	refuseAuth  atomic.Bool
	connections atomic.Int64
	fault       atomic.Pointer[fault]
	cut         atomic.Pointer[cut]

	mu       sync.Mutex
	stopped  bool
	hostKeys []ssh.Signer
	open     map[net.Conn]bool
	running  map[*exec.Cmd]bool
	commands []string
}

// Start starts a server that ends with the test, and so does all that it runs.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	if options.Dir == "" {
		options.Dir = t.TempDir()
	}
	s := &Server{t: t, options: options, hostKeys: options.HostKeys, open: map[net.Conn]bool{}, running: map[*exec.Cmd]bool{}}
	if len(s.hostKeys) == 0 {
		s.hostKeys = []ssh.Signer{NewKey(t)}
	}
	if options.Users == nil {
		s.UserKey = NewKey(t)
		s.options.Users = map[string][]ssh.PublicKey{"root": {s.UserKey.PublicKey()}}
	}
	s.path = installSudo(t, options.Sudo)
	s.listener, s.Address, s.Port = listen(t, cmp.Or(options.Address, local))
	s.work.Go(s.accept)
	t.Cleanup(s.Stop)
	return s
}

// NewKey is a fresh key of type ed25519.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// NewCertificate is a host key with a certificate for principals, by an authority.
func NewCertificate(t testing.TB, authority, key ssh.Signer, principals ...string) ssh.Signer {
	t.Helper()
	certificate := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.HostCert, KeyId: "host", ValidPrincipals: principals,
		ValidBefore: ssh.CertTimeInfinity,
	}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// Line is a public key in the form of authorized_keys.
func Line(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }

// HostKeyLines are the server's keys, to be pinned.
func (s *Server) HostKeyLines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, key := range s.hostKeys {
		lines = append(lines, Line(key.PublicKey()))
	}
	return lines
}

// ChangeHostKeys is what a host does that is installed anew. It holds from the next connection on.
func (s *Server) ChangeHostKeys(keys ...ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKeys = keys
}

// RefuseAuth says whether all keys are refused from now on.
func (s *Server) RefuseAuth(refuse bool) { s.refuseAuth.Store(refuse) }

// DropAfter drops connections after so many more bytes from the clients, counted over all connections.
func (s *Server) DropAfter(bytes int64) { s.fault.Store(newFault(bytes, true)) }

// HangAfter makes the server take and say nothing any more after so many more bytes from the clients.
func (s *Server) HangAfter(bytes int64) { s.fault.Store(newFault(bytes, false)) }

// Hung says whether so many bytes have come by now.
func (s *Server) Hung() bool {
	f := s.fault.Load()
	return f != nil && f.left.Load() < 0
}

// HangFor is HangAfter for a time that begins when the server hangs. It goes on then as if nothing had been.
func (s *Server) HangFor(d time.Duration, bytes int64) {
	f := newFault(bytes, false)
	f.lasts = d
	s.fault.Store(f)
}

// heal ends one fault, if it is the server's still.
func (s *Server) heal(f *fault) {
	if s.fault.CompareAndSwap(f, nil) {
		close(f.healed)
	}
}

// Heal takes back DropAfter, HangAfter and HangFor. What hangs goes on.
func (s *Server) Heal() {
	if f := s.fault.Swap(nil); f != nil {
		close(f.healed)
	}
}

// DropAll drops the connections that are open.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

func (s *Server) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for command := range s.running {
		kill(command)
	}
}

// Connections is how many were accepted so far.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Commands are what clients asked to run so far: what stood in the argument vector of their shells.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Stop ends the server, its connections and what runs on them, as a machine that loses its power.
func (s *Server) Stop() {
	_ = s.listener.Close()
	s.Heal()
	s.mu.Lock()
	s.stopped = true
	for conn := range s.open {
		_ = conn.Close()
	}
	for command := range s.running {
		kill(command)
	}
	s.mu.Unlock()
	s.work.Wait()
}

// local is where servers listen that need no address of their own.
const local = "127.0.0.1"

func listen(t testing.TB, on string) (listener net.Listener, address string, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(on, "0"))
	if err != nil {
		t.Fatal(err)
	}
	at, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening at %v, which is not TCP", listener.Addr())
	}
	return listener, on, at.Port
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.connections.Add(1)
		if !s.track(conn) {
			return
		}
		s.work.Go(func() {
			defer s.forget(conn)
			s.serve(conn)
		})
	}
}

func (s *Server) track(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = conn.Close()
		return false
	}
	s.open[conn] = true
	return true
}

func (s *Server) forget(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

func (s *Server) config() *ssh.ServerConfig {
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !s.refuseAuth.Load() {
				for _, allowed := range s.options.Users[who.User()] {
					if string(allowed.Marshal()) == string(key.Marshal()) {
						return nil, nil
					}
				}
			}
			return nil, errors.New("not a key of this user")
		},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.hostKeys {
		config.AddHostKey(key)
	}
	return config
}

func (s *Server) serve(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	transport, channels, requests, err := ssh.NewServerConn(&faultyConn{Conn: conn, server: s, closed: make(chan struct{})}, s.config())
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	defer func() { _ = transport.Close() }()
	// As OpenSSH does, it answers requests that it does not know: that is what a keepalive is.
	s.work.Go(func() { ssh.DiscardRequests(requests) })
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			s.work.Go(func() { s.session(channel) })
		case "direct-tcpip":
			s.work.Go(func() { s.forward(channel) })
		default:
			_ = channel.Reject(ssh.UnknownChannelType, "unknown")
		}
	}
}
