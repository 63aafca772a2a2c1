package host

import (
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/sshd"
)

func TestAServerIsKnownByItsAuthority(t *testing.T) {
	s := newSite(t)
	authority := sshd.NewKey(t)
	b := s.box("certified", func(h *v1alpha1.Host) {
		h.Spec.HostKeys, h.Spec.HostCertificateAuthorities = nil, []string{sshd.Line(authority.PublicKey())}
	})
	b.ChangeHostKeys(sshd.NewCertificate(t, sshd.NewKey(t), sshd.NewKey(t), b.Address))
	if got, want := ready(s.look("certified").Status.Conditions), "False HostKeyMismatch"; got != want {
		t.Errorf("a server with another authority's certificate is %s, want %s", got, want)
	}
	b.ChangeHostKeys(sshd.NewCertificate(t, authority, sshd.NewKey(t), b.Address))
	if got, want := ready(s.look("certified").Status.Conditions), "True Available"; got != want {
		t.Errorf("a server with its authority's certificate is %s, want %s", got, want)
	}
}
