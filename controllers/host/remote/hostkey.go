package remote

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// verifier decides whether a host's key is the right one, and remembers which it was.
type verifier struct {
	address     string
	pins        []ssh.PublicKey
	authorities []ssh.PublicKey
	trustFirst  bool

	mu      sync.Mutex
	seen    ssh.PublicKey
	refused *Error
}

func newVerifier(t Target) (*verifier, error) {
	pins, err := parsePins(t, "pinned host key", t.HostKeys)
	if err != nil {
		return nil, err
	}
	authorities, err := parsePins(t, "host certificate authority", t.HostCertificateAuthorities)
	if err != nil {
		return nil, err
	}
	return &verifier{address: t.hostPort(), pins: pins, authorities: authorities, trustFirst: t.TrustOnFirstUse}, nil
}

func parsePins(t Target, what string, lines []string) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for i, line := range lines {
		key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
			return nil, failure(InvalidTarget, `%s %d of %s is not one line like "ssh-ed25519 AAAA…"`, what, i+1, t.hostPort())
		}
		if _, isCertificate := key.(*ssh.Certificate); isCertificate {
			return nil, failure(InvalidTarget, "%s %d of %s is a certificate; give the key alone", what, i+1, t.hostPort())
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// algorithms restricts a host with several keys to showing one that can be checked.
func (v *verifier) algorithms() []string {
	supported := ssh.SupportedAlgorithms().HostKeys
	isCertificate := func(name string) bool { return strings.Contains(name, "-cert-v01@") }
	if len(v.pins) == 0 && len(v.authorities) == 0 {
		return slices.DeleteFunc(supported, isCertificate)
	}
	var allowed []string
	if len(v.authorities) > 0 {
		allowed = slices.DeleteFunc(slices.Clone(supported), func(name string) bool { return !isCertificate(name) })
	}
	for _, pin := range v.pins {
		allowed = append(allowed, signatureAlgorithms(pin.Type())...)
	}
	return allowed
}

// signatureAlgorithms are those of a type of key. Only RSA has several; the one with SHA-1 is not among them.
func signatureAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// check is called at the handshake, and again whenever the session's keys are made anew.
func (v *verifier) check(address string, remote net.Addr, key ssh.PublicKey) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.judge(address, remote, key); err != nil {
		v.refused = err
		return err
	}
	v.seen = plain(key)
	return nil
}

func (v *verifier) judge(address string, remote net.Addr, key ssh.PublicKey) *Error {
	if v.seen != nil && !same(v.seen, plain(key)) {
		return failure(HostKeyMismatch, "%s changed its host key within a connection, from %s to %s",
			v.address, ssh.FingerprintSHA256(v.seen), ssh.FingerprintSHA256(plain(key)))
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(authority ssh.PublicKey, _ string) bool { return among(v.authorities, authority) },
		HostKeyFallback: func(string, net.Addr, ssh.PublicKey) error { return asError(v.judgePlain(key)) },
	}
	err := checker.CheckHostKey(address, remote, key)
	if err == nil {
		err = namesAHost(key)
	}
	var typed *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed):
		return typed
	default:
		return v.badCertificate(key, err)
	}
}

func (v *verifier) judgePlain(key ssh.PublicKey) *Error {
	got := ssh.FingerprintSHA256(key)
	switch {
	case among(v.pins, key):
		return nil
	case len(v.pins) > 0:
		return failure(HostKeyMismatch, "%s shows the %s host key %s, but %s is pinned: either something else answers at this address, "+
			"or the host was installed anew; if you know that it was, pin the new key", v.address, key.Type(), got, fingerprints(v.pins))
	case len(v.authorities) > 0:
		return failure(HostKeyUnknown, "%s shows the host key %s without a certificate, but only certificates are trusted: "+
			"have the host's key signed, or pin it", v.address, got)
	case v.trustFirst:
		return nil
	default:
		return failure(HostKeyUnknown, "%s shows the host key %s, and no key is pinned: compare it with the host's own "+
			"(ssh-keygen -lf on its console), then pin %s", v.address, got, line(key))
	}
}

func (v *verifier) badCertificate(key ssh.PublicKey, err error) *Error {
	certificate, is := key.(*ssh.Certificate)
	if !is {
		return failure(HostKeyMismatch, "%s: %w", v.address, err)
	}
	signed := ssh.FingerprintSHA256(certificate.SignatureKey)
	if !among(v.authorities, certificate.SignatureKey) {
		return failure(HostKeyMismatch, "%s shows a certificate by the authority %s, but %s is trusted: have the host's key "+
			"signed by that one, or pin it", v.address, signed, fingerprints(v.authorities))
	}
	return failure(HostKeyMismatch, "%s shows a certificate by the authority %s that does not hold for it: %w", v.address, signed, err)
}

// noCommonKey is the refusal of a host that has no key of a type that could be checked.
func (v *verifier) noCommonKey(offered []string) *Error {
	if len(v.pins) == 0 && len(v.authorities) > 0 {
		return failure(HostKeyUnknown, "%s has no host certificate (it offers %s), but only certificates are trusted: "+
			"have the host's key signed, or pin it", v.address, strings.Join(offered, ", "))
	}
	return failure(HostKeyMismatch, "%s has no host key of a pinned type: it offers %s, but %s is pinned; "+
		"if you know that the host was installed anew, pin its new key", v.address, strings.Join(offered, ", "), fingerprints(v.pins))
}

func (v *verifier) result() (seen ssh.PublicKey, refused *Error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen, v.refused
}

// namesAHost refuses a certificate without principals, which the checker takes to hold for every host there is.
func namesAHost(key ssh.PublicKey) error {
	if certificate, is := key.(*ssh.Certificate); is && len(certificate.ValidPrincipals) == 0 {
		return errors.New("it names no host (sign it with ssh-keygen -h -n ADDRESS)")
	}
	return nil
}

// plain is the key that a certificate is for, or the key itself.
func plain(key ssh.PublicKey) ssh.PublicKey {
	if certificate, is := key.(*ssh.Certificate); is {
		return certificate.Key
	}
	return key
}

func asError(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}

func same(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func among(keys []ssh.PublicKey, key ssh.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return same(k, key) })
}

func fingerprints(keys []ssh.PublicKey) string {
	var all []string
	for _, key := range keys {
		all = append(all, key.Type()+" "+ssh.FingerprintSHA256(key))
	}
	return strings.Join(all, " or ")
}

func line(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
