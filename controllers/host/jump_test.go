package host

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/test/racks"
	"github.com/drover-dev/drover/test/sshd"
)

func TestAServerBehindAJumpHostServesAMachine(t *testing.T) {
	s := newSite(t)
	// The jump host takes a key of its own, and shows one.
	jumps, key := racks.New(t, s.namespace), sshd.NewKey(t)
	secret := jumps.KeySecret()
	secret.Name = "jump-key"
	s.create(secret)
	jump := jumps.Start(t, "jump", sshd.Options{HostKeys: []ssh.Signer{key}})
	b := s.box("a", func(h *v1alpha1.Host) {
		h.Spec.JumpHost = &v1alpha1.JumpHost{SSHAccess: jump.Host().Spec.SSHAccess}
		h.Spec.JumpHost.KeySecretRef.Name = secret.Name
	})
	// jumped wants so many logins to the server since it was last called, each of them through the jump host.
	seen := [2]int{}
	jumped := func(what string, want int) {
		t.Helper()
		now := [2]int{jump.Connections(), b.Connections()}
		if got := [2]int{now[0] - seen[0], now[1] - seen[1]}; got != [2]int{want, want} {
			t.Errorf("for %s, %d logged in to the jump host and %d to the server, want %d to both", what, got[0], got[1], want)
		}
		seen = now
	}
	// refused wants the jump host's key to be named as what is wrong, and nothing sent to either.
	refused := func(what string, conditions []metav1.Condition) {
		t.Helper()
		c := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != remote.JumpFailed {
			t.Errorf("%s, through a jump host with another key, is %+v", what, c)
			return
		}
		for _, want := range []string{"jump host " + jump.Address, "HostKeyMismatch", ssh.FingerprintSHA256(key.PublicKey()) + " is pinned"} {
			if !strings.Contains(c.Message, want) {
				t.Errorf("%s, through a jump host with another key, says %q, want %q", what, c.Message, want)
			}
		}
		if b.Connections() != seen[1] || len(jump.Commands()) > 0 {
			t.Errorf("%s, through a jump host with another key, logged in to the server %d times, and ran %q", what, b.Connections()-seen[1], jump.Commands())
		}
		seen[0] = jump.Connections()
	}
	reinstalled := func() { jump.ChangeHostKeys(sshd.NewKey(t)) }
	mended := func() { jump.ChangeHostKeys(key) }

	reinstalled()
	refused("the preflight", s.look("a").Status.Conditions)
	mended()
	h := s.look("a")
	if got := ready(h.Status.Conditions); got != "True Available" || !slices.Contains(b.HostKeyLines(), h.Status.HostKey) {
		t.Fatalf("a server behind a jump host is %s, with the key %s: %+v", got, h.Status.HostKey, h.Status.Conditions)
	}
	jumped("the preflight", 1)

	s.machine("m")
	reinstalled()
	refused("the installation", s.make("m").Status.Conditions)
	mended()
	if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" || m.Status.Host != "a" || !b.has("installed") {
		t.Fatalf("its machine is %+v", m.Status)
	}
	jumped("the installation", 1)
	s.make("m")
	jumped("the next boot report", 0)
	jump.DropAll()
	s.make("m") // may find the connection lost
	if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" {
		t.Errorf("after the jump host went away for a moment, the machine is %+v", m.Status.Conditions)
	}
	jumped("a boot report after the jump host went away for a moment", 1)

	reinstalled()
	s.remove("m")
	s.make("m")
	refused("the release", s.look("a").Status.Conditions)
	refused("the machine that is removed", s.make("m").Status.Conditions)
	mended()
	if h = s.look("a"); h.Status.Claim != nil || b.has("installed") {
		t.Errorf("after the release, the server is %s, installed %t: %+v", h.Status.State, b.has("installed"), h.Status.Conditions)
	}
	jumped("the release", 1)
	if m := s.make("m"); m != nil {
		t.Errorf("the machine is still there: %+v", m.Status.Conditions)
	}
	b.wantNothing(t)
}
