package remote_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/test/sshd"
)

func TestADialEndsWithItsReason(t *testing.T) {
	authority, stranger := sshd.NewKey(t), sshd.NewKey(t)
	certified := func(principals ...string) sshd.Options {
		return sshd.Options{HostKeys: []ssh.Signer{sshd.NewCertificate(t, authority, sshd.NewKey(t), principals...)}}
	}
	trustAuthority := func(_ *sshd.Server, target *remote.Target) {
		target.HostKeys, target.HostCertificateAuthorities = nil, []string{sshd.Line(authority.PublicKey()) + " our CA"}
	}
	for name, test := range map[string]struct {
		options sshd.Options
		prepare func(*sshd.Server, *remote.Target)
		reason  string
		message []string
	}{
		"a pinned key is taken": {prepare: func(_ *sshd.Server, target *remote.Target) {
			target.HostKeys = []string{sshd.Line(stranger.PublicKey()), target.HostKeys[0] + " with a comment"}
		}},
		"a changed key is refused with both fingerprints": {
			prepare: func(server *sshd.Server, _ *remote.Target) { server.ChangeHostKeys(stranger) },
			reason:  remote.HostKeyMismatch, message: []string{ssh.FingerprintSHA256(stranger.PublicKey()), "is pinned", "pin the new key"},
		},
		"a host without a key of the pinned type is refused": {
			prepare: func(server *sshd.Server, _ *remote.Target) { server.ChangeHostKeys(ecdsaKey(t)) },
			reason:  remote.HostKeyMismatch, message: []string{"no host key of a pinned type", "ecdsa-sha2-nistp256"},
		},
		"pins hold even when trust on first use is asked for": {
			prepare: func(server *sshd.Server, target *remote.Target) {
				server.ChangeHostKeys(stranger)
				target.TrustOnFirstUse = true
			},
			reason: remote.HostKeyMismatch,
		},
		"a key is unknown when nothing is pinned": {
			prepare: func(_ *sshd.Server, target *remote.Target) { target.HostKeys = nil },
			reason:  remote.HostKeyUnknown, message: []string{"no key is pinned", "ssh-ed25519 AAAA"},
		},
		"any key is taken on first use": {prepare: func(_ *sshd.Server, target *remote.Target) {
			target.HostKeys, target.TrustOnFirstUse = nil, true
		}},
		"a certificate of the authority is taken": {options: certified("127.0.0.1"), prepare: trustAuthority},
		"a certificate for another host is refused": {
			options: certified("10.0.0.1"), prepare: trustAuthority,
			reason: remote.HostKeyMismatch, message: []string{"does not hold for it", "10.0.0.1"},
		},
		"a certificate for no host is refused": {
			options: certified(), prepare: trustAuthority,
			reason: remote.HostKeyMismatch, message: []string{"names no host"},
		},
		"a certificate of another authority is refused": {
			options: certified("127.0.0.1"),
			prepare: func(_ *sshd.Server, target *remote.Target) {
				target.HostKeys, target.HostCertificateAuthorities = nil, []string{sshd.Line(stranger.PublicKey())}
			},
			reason: remote.HostKeyMismatch, message: []string{ssh.FingerprintSHA256(authority.PublicKey()), ssh.FingerprintSHA256(stranger.PublicKey())},
		},
		"a plain key is unknown where certificates are wanted": {
			prepare: trustAuthority, reason: remote.HostKeyUnknown, message: []string{"no host certificate"},
		},
		"a user without the key is refused": {
			prepare: func(_ *sshd.Server, target *remote.Target) { target.Signers = []ssh.Signer{stranger} },
			reason:  remote.AuthenticationFailed, message: []string{"user root", "authorized_keys"},
		},
		"a server that refuses every key is told apart": {
			prepare: func(server *sshd.Server, _ *remote.Target) { server.RefuseAuth(true) },
			reason:  remote.AuthenticationFailed,
		},
		"an older key is tried, and then the newer": {prepare: func(_ *sshd.Server, target *remote.Target) {
			target.Signers = append([]ssh.Signer{stranger}, target.Signers...)
		}},
		"a stopped server is unreachable": {
			prepare: func(server *sshd.Server, _ *remote.Target) { server.Stop() },
			reason:  remote.Unreachable, message: []string{"refused"},
		},
		"a server that says nothing is unreachable": {
			prepare: func(server *sshd.Server, target *remote.Target) {
				server.HangAfter(-1)
				target.Limits = short
			},
			reason: remote.Unreachable, message: []string{"did not answer within 300ms"},
		},
		"a server that hangs within the handshake is unreachable": {
			prepare: func(server *sshd.Server, target *remote.Target) {
				server.HangAfter(100)
				target.Limits = short
			},
			reason: remote.Unreachable, message: []string{"did not answer within 300ms"},
		},
		"a connection that breaks in the handshake is unreachable": {
			prepare: func(server *sshd.Server, _ *remote.Target) { server.DropAfter(1600) },
			reason:  remote.Unreachable,
		},
		"a pin that is no key cannot be used": {
			prepare: func(_ *sshd.Server, target *remote.Target) { target.HostKeys = []string{"SHA256:abc"} },
			reason:  remote.InvalidTarget, message: []string{"pinned host key 1"},
		},
		"no private key cannot be used": {
			prepare: func(_ *sshd.Server, target *remote.Target) { target.Signers = nil },
			reason:  remote.InvalidTarget, message: []string{"no private key"},
		},
		"a circle of jump hosts ends": {
			prepare: func(_ *sshd.Server, target *remote.Target) { target.Jump = target },
			reason:  remote.InvalidTarget, message: []string{"its own jump host"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := sshd.Start(t, test.options)
			target := targetOf(server)
			if test.options.HostKeys != nil {
				target.HostKeys = nil
			}
			if test.prepare != nil {
				test.prepare(server, &target)
			}
			connection, err := remote.Dial(within(t), target)
			if err == nil {
				defer connection.Close()
			}
			if test.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantReason(t, err, test.reason, test.message...)
		})
	}
}

func TestAHostWithSeveralKeysShowsThePinnedOne(t *testing.T) {
	keys := []ssh.Signer{ecdsaKey(t), rsaKey(t), sshd.NewKey(t)}
	server := sshd.Start(t, sshd.Options{HostKeys: keys})
	for _, key := range keys {
		target := targetOf(server)
		target.HostKeys = []string{sshd.Line(key.PublicKey())}
		if got := dial(t, target).HostKey(); got != target.HostKeys[0] {
			t.Errorf("the host showed %s, want the pinned %s", got, target.HostKeys[0])
		}
	}
}

func TestTheKeyOfFirstUseIsReported(t *testing.T) {
	server := sshd.Start(t, sshd.Options{})
	target := targetOf(server)
	target.HostKeys, target.TrustOnFirstUse = nil, true
	if got, want := dial(t, target).HostKey(), server.HostKeyLines()[0]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhatDoesNotSpeakSSHIsUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Write([]byte("220 mail.example.org ESMTP\r\n"))
			conn.Close()
		}
	}()
	target := remote.Target{Address: "127.0.0.1", Port: int(netip.MustParseAddrPort(listener.Addr().String()).Port()),
		Signers: []ssh.Signer{sshd.NewKey(t)}, TrustOnFirstUse: true}
	_, err = remote.Dial(within(t), target)
	wantReason(t, err, remote.Unreachable)
}

func TestAJumpHostHasPinsAndReasonsOfItsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		options sshd.Options
		prepare func(server, jump *sshd.Server, target *remote.Target)
		reason  string
		message []string
	}{
		"the host is reached": {},
		"a changed key of the jump host": {
			prepare: func(_, jump *sshd.Server, _ *remote.Target) { jump.ChangeHostKeys(sshd.NewKey(t)) },
			reason:  remote.JumpFailed, message: []string{"jump host 127.0.0.1", remote.HostKeyMismatch},
		},
		"a changed key of the host behind it": {
			prepare: func(server, _ *sshd.Server, _ *remote.Target) { server.ChangeHostKeys(sshd.NewKey(t)) },
			reason:  remote.HostKeyMismatch,
		},
		"a jump host that refuses the key": {
			prepare: func(_, jump *sshd.Server, _ *remote.Target) { jump.RefuseAuth(true) },
			reason:  remote.JumpFailed, message: []string{remote.AuthenticationFailed},
		},
		"a jump host that is down": {
			prepare: func(_, jump *sshd.Server, _ *remote.Target) { jump.Stop() },
			reason:  remote.JumpFailed, message: []string{remote.Unreachable},
		},
		"a jump host that forwards nothing": {
			options: sshd.Options{NoForwarding: true},
			reason:  remote.JumpFailed, message: []string{"AllowTcpForwarding"},
		},
		"a host that is down behind it": {
			prepare: func(server, _ *sshd.Server, _ *remote.Target) { server.Stop() },
			reason:  remote.Unreachable, message: []string{"the jump host cannot reach"},
		},
		"a host that hangs behind it": {
			prepare: func(server, _ *sshd.Server, target *remote.Target) {
				server.HangAfter(-1)
				target.Limits = short
			},
			reason: remote.Unreachable, message: []string{"did not answer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, jump := sshd.Start(t, sshd.Options{}), sshd.Start(t, test.options)
			target, through := targetOf(server), targetOf(jump)
			target.Jump = &through
			if test.prepare != nil {
				test.prepare(server, jump, &target)
			}
			connection, err := remote.Dial(within(t), target)
			if test.reason != "" {
				wantReason(t, err, test.reason, test.message...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if out, err := connection.Run(within(t), "echo through", nil); err != nil || string(out) != "through\n" {
				t.Errorf("got %q, %v", out, err)
			}
			if jump.Connections() != 1 || server.Connections() != 1 {
				t.Errorf("got %d connections of the jump host and %d of the host, want 1 each", jump.Connections(), server.Connections())
			}
		})
	}
}

func TestAProxyIsAskedToConnect(t *testing.T) {
	server, jump := sshd.Start(t, sshd.Options{}), sshd.Start(t, sshd.Options{})
	proxy := sshd.StartProxy(t, "ops:hunter2")
	target := targetOf(server)
	target.HTTPProxy = proxy.URL()
	dial(t, target)
	if proxy.Connections() != 1 {
		t.Errorf("the proxy made %d connections, want 1", proxy.Connections())
	}

	t.Run("for the jump host, if there is one", func(t *testing.T) {
		through, target := targetOf(jump), target
		target.Jump = &through
		dial(t, target)
		if proxy.Connections() != 2 || jump.Connections() != 1 {
			t.Errorf("the proxy made %d connections and the jump host took %d, want 2 and 1", proxy.Connections(), jump.Connections())
		}
	})
	t.Run("and refuses for a wrong password, which is not quoted", func(t *testing.T) {
		target := target
		target.HTTPProxy = "http://ops:wrong@" + proxy.URL()[len("http://ops:hunter2@"):]
		_, err := remote.Dial(within(t), target)
		wantNone(t, reasoned(t, err, remote.Unreachable, "407").Error(), "wrong")
	})
	t.Run("and refuses at will", func(t *testing.T) {
		proxy.Refuse(true)
		_, err := remote.Dial(within(t), target)
		wantReason(t, err, remote.Unreachable, "it refuses to connect", "403")
	})
	t.Run("and is no URL at all, which is not quoted", func(t *testing.T) {
		target := target
		target.HTTPProxy = "ops:hunter2@proxy"
		_, err := remote.Dial(within(t), target)
		wantNone(t, reasoned(t, err, remote.InvalidTarget, "HTTP proxy").Error(), "hunter2")
	})
}

func TestTheCallerEndsADial(t *testing.T) {
	server := sshd.Start(t, sshd.Options{})
	server.HangAfter(-1)
	ctx, cancel := context.WithCancel(within(t))
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := remote.Dial(ctx, targetOf(server))
	if !errors.Is(err, context.Canceled) || remote.ReasonOf(err) != "" {
		t.Errorf("got %v, want the caller's cancellation without a reason", err)
	}
}

func ecdsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, key)
}

func rsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, key)
}

func signer(t *testing.T, key any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
