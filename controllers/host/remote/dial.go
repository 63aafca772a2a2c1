package remote

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial connects and logs in. Each hop has Limits.Handshake for it; ctx bounds the whole, and only the dialling.
func Dial(ctx context.Context, t Target) (Connection, error) {
	if err := t.validate(0); err != nil {
		return nil, err
	}
	route, err := dial(ctx, t)
	if err != nil {
		return nil, err
	}
	c := &connection{target: t, limits: t.Limits.orDefaults(), route: route, closing: make(chan struct{}), gone: make(chan struct{})}
	c.begin(func() {
		defer close(c.gone)
		_ = route.last().Wait() // why it ended is told by whoever used it
	})
	c.begin(c.keepAlive)
	return c, nil
}

// route is a chain of SSH clients, each through the one before it, over one TCP connection.
type route struct {
	bottom  net.Conn
	clients []*ssh.Client
	hostKey ssh.PublicKey
}

func (r *route) last() *ssh.Client { return r.clients[len(r.clients)-1] }

// close begins at the bottom: with the TCP connection gone, nothing above can wait for a host that hangs.
func (r *route) close() {
	_ = r.bottom.Close()
	for _, client := range slices.Backward(r.clients) {
		_ = client.Close()
		_ = client.Wait()
	}
}

func dial(ctx context.Context, t Target) (*route, error) {
	if t.Jump == nil {
		return dialDirect(ctx, t)
	}
	jump := *t.Jump
	if jump.HTTPProxy == "" {
		jump.HTTPProxy = t.HTTPProxy
	}
	r, err := dial(ctx, jump)
	if err != nil {
		return nil, jumpFailed(jump, err)
	}
	conn, err := throughJump(ctx, t, r.last())
	if err == nil {
		err = r.handshake(ctx, t, conn)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func jumpFailed(jump Target, err error) error {
	if ReasonOf(err) == "" {
		return err
	}
	return failure(JumpFailed, "jump host %s: %w", jump.hostPort(), err)
}

func dialDirect(ctx context.Context, t Target) (*route, error) {
	conn, err := dialTCP(ctx, t)
	if err != nil {
		return nil, err
	}
	r := &route{bottom: conn}
	if err := r.handshake(ctx, t, conn); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func dialTCP(ctx context.Context, t Target) (net.Conn, error) {
	limit := t.Limits.orDefaults().Handshake
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if t.HTTPProxy != "" {
		return dialProxy(ctx, within, t)
	}
	conn, err := new(net.Dialer).DialContext(within, "tcp", t.hostPort())
	if err != nil {
		return nil, unreachable(ctx, within, t, err)
	}
	return conn, nil
}

// throughJump asks the jump host for a connection to the target.
func throughJump(ctx context.Context, t Target, jump *ssh.Client) (net.Conn, error) {
	within, cancel := context.WithTimeout(ctx, t.Limits.orDefaults().Handshake)
	defer cancel()
	conn, err := jump.DialContext(within, "tcp", t.hostPort())
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &refused) && refused.Reason == ssh.ConnectionFailed:
		return nil, failure(Unreachable, "the jump host cannot reach %s: %s", t.hostPort(), clip(refused.Message))
	case errors.As(err, &refused):
		return nil, failure(JumpFailed, "the jump host refuses to forward to %s (%s): allow it with AllowTcpForwarding and PermitOpen",
			t.hostPort(), clip(refused.Message))
	default:
		return nil, unreachable(ctx, within, t, err)
	}
}

// handshake logs in over conn, which it owns from here on.
func (r *route) handshake(ctx context.Context, t Target, conn net.Conn) error {
	keys, err := newVerifier(t)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, t.Limits.orDefaults().Handshake)
	defer cancel()
	// What runs through a jump host has no deadlines, so that time ends it by closing the connection at the bottom.
	stop := context.AfterFunc(within, func() { _ = r.bottom.Close() })
	transport, channels, requests, err := ssh.NewClientConn(conn, t.hostPort(), &ssh.ClientConfig{
		User:              t.user(),
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(t.Signers...)},
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: keys.algorithms(),
		ClientVersion:     "SSH-2.0-Drover",
		Config:            ssh.Config{Ciphers: ciphers()},
	})
	if !stop() && err == nil {
		_ = transport.Close()
		err = within.Err()
	}
	if err != nil {
		return handshakeFailed(ctx, within, t, keys, err)
	}
	r.clients = append(r.clients, ssh.NewClient(transport, channels, requests))
	r.hostKey, _ = keys.result()
	return nil
}

// ciphers are x/crypto's, but the one first that is OpenSSH's first choice: AES is quicker with instructions for it, as any
// machine with a fast network has, and several times slower without.
func ciphers() []string {
	const first = ssh.CipherChaCha20Poly1305
	others := slices.DeleteFunc(ssh.SupportedAlgorithms().Ciphers, func(cipher string) bool { return cipher == first })
	return append([]string{first}, others...)
}

func handshakeFailed(ctx, within context.Context, t Target, keys *verifier, err error) error {
	seen, refused := keys.result()
	var noCommon *ssh.AlgorithmNegotiationError
	switch {
	case refused != nil:
		return refused
	case errors.As(err, &noCommon) && noCommon.What == "host key":
		return keys.noCommonKey(noCommon.RequestedAlgorithms)
	case within.Err() != nil || lostConnection(err) || seen == nil:
		return unreachable(ctx, within, t, err)
	default:
		return failure(AuthenticationFailed, "%s takes none of the %d keys for user %s (%s): put one of their public keys into its authorized_keys",
			t.hostPort(), len(t.Signers), t.user(), clip(err.Error()))
	}
}

// unreachable tells the caller's time from ours.
func unreachable(ctx, within context.Context, t Target, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ended(ctx, "connect to "+t.hostPort())
	case ctx.Err() != nil:
		return failure(Unreachable, "%s did not answer within the time that was given", t.hostPort())
	case within.Err() != nil:
		return failure(Unreachable, "%s did not answer within %s: check the address, and that no firewall is between",
			t.hostPort(), t.Limits.orDefaults().Handshake)
	default:
		return failure(Unreachable, "connect to %s: %w", t.hostPort(), err)
	}
}

// connection is a Connection.
type connection struct {
	target Target
	limits Limits
	route  *route

	// hung is set before a connection is ended because nobody answers on it.
	hung    atomic.Bool
	closing chan struct{}
	// gone is closed when the connection has ended.
	gone chan struct{}
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// begin starts work that Close waits for, unless the connection is closed.
func (c *connection) begin(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Go(work)
	}
	return !c.closed
}

func (c *connection) HostKey() string { return line(c.route.hostKey) }

func (c *connection) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		close(c.closing)
	}
	c.route.close()
	c.work.Wait()
	return nil
}

// keepAlive asks the host for a sign of life three times within the silence it may keep, and ends the connection of one
// that gives none.
func (c *connection) keepAlive() {
	pause := c.limits.Silence / 3
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-c.closing:
			return
		case <-ticker.C:
		}
		alarm := time.AfterFunc(c.limits.Silence-pause, func() {
			c.hung.Store(true)
			_ = c.route.bottom.Close()
		})
		_, _, err := c.route.last().SendRequest("keepalive@openssh.com", true, nil)
		alarm.Stop()
		if err != nil {
			return
		}
	}
}
