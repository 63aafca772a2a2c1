package remote

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Privilege is how commands become root's.
type Privilege string

// The ways to be root.
const (
	// Root: the user is root. It is what an empty Privilege means.
	Root Privilege = "Root"
	// Sudo: commands go through sudo.
	Sudo Privilege = "Sudo"
)

// mostJumps bounds a chain of jump hosts, which may have been made a circle.
const mostJumps = 4

// Target is how a machine is reached.
type Target struct {
	// Address is a name or an IP address, and what a host's certificate must be for.
	Address string
	// Port is SSH's, 22 if it is 0.
	Port int
	// User is who to log in as; root if empty.
	User string
	// Signers are the keys to log in with, tried in order.
	Signers []ssh.Signer
	// HostKeys are the keys the host may show, each a line like "ssh-ed25519 AAAA… comment".
	HostKeys []string
	// HostCertificateAuthorities are the keys of authorities whose certificates for Address are taken too.
	HostCertificateAuthorities []string
	// TrustOnFirstUse takes any key if neither of the two above says which; Connection.HostKey tells which it was.
	TrustOnFirstUse bool
	// Jump is a host to go through, with pins of its own.
	Jump *Target
	// HTTPProxy is the http:// URL of a proxy that is asked to CONNECT. It may hold a user and a password. With a Jump
	// that has no proxy of its own, the jump host is what is reached through it.
	HTTPProxy string
	// Privilege is how commands become root's.
	Privilege Privilege
	// SudoPassword is the user's, for sudo; without one, sudo must not ask.
	SudoPassword string
	// Limits bound the connection; zeros mean the defaults.
	Limits Limits
}

// Limits bound what a host may take. Zeros mean the defaults.
type Limits struct {
	// Handshake is for each hop: TCP, SSH and authentication, and for opening what a hop leads to. 10 s by default.
	Handshake time.Duration
	// Silence is how long a host may give no sign of life, and how long input for it may get no further. 30 s by default.
	Silence time.Duration
	// Output is how many bytes a command may write to standard output. 1 MiB by default.
	Output int
}

func (l Limits) orDefaults() Limits {
	if l.Handshake == 0 {
		l.Handshake = 10 * time.Second
	}
	if l.Silence == 0 {
		l.Silence = 30 * time.Second
	}
	if l.Output == 0 {
		l.Output = 1 << 20
	}
	return l
}

func (t Target) hostPort() string {
	port := t.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(t.Address, strconv.Itoa(port))
}

func (t Target) user() string {
	if t.User == "" {
		return "root"
	}
	return t.User
}

// validate finds what no host could put right.
func (t Target) validate(jumps int) error {
	switch {
	case jumps > mostJumps:
		return failure(InvalidTarget, "more than %d jump hosts in a row; is one its own jump host?", mostJumps)
	case t.Address == "":
		return failure(InvalidTarget, "no address is given")
	case t.Port < 0 || t.Port > 65535:
		return failure(InvalidTarget, "port %d is not between 1 and 65535", t.Port)
	case len(t.Signers) == 0:
		return failure(InvalidTarget, "no private key is given for %s", t.hostPort())
	case t.Privilege != "" && t.Privilege != Root && t.Privilege != Sudo:
		return failure(InvalidTarget, "privilege %q is neither %s nor %s", t.Privilege, Root, Sudo)
	case strings.ContainsAny(t.SudoPassword, "\n\x00"):
		return failure(InvalidTarget, "sudo's password for %s holds a line break (a Secret made from a file often ends in one)", t.hostPort())
	}
	if t.HTTPProxy != "" {
		// The error of url.Parse would quote the URL, and with it a password.
		if proxy, err := url.Parse(t.HTTPProxy); err != nil || proxy.Scheme != "http" || proxy.Hostname() == "" {
			return failure(InvalidTarget, "the HTTP proxy for %s is not an http:// URL with a host", t.hostPort())
		}
	}
	if _, err := newVerifier(t); err != nil {
		return err
	}
	if t.Jump != nil {
		return t.Jump.validate(jumps + 1)
	}
	return nil
}
