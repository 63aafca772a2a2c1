package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// moves gives the server another address, as DHCP does. Nobody answers at the old one.
func (s *site) moves(b *box, address string) {
	s.t.Helper()
	b.Stop()
	s.boot(b, b.Name, address)
}

// isAt is what the owner of a server says that has moved.
func (s *site) isAt(host string, b *box) {
	s.t.Helper()
	h := s.host(host)
	h.Spec.Address, h.Spec.Port = b.Address, int32(b.Port) //nolint:gosec // a port
	if err := s.Client.Update(s.t.Context(), h); err != nil {
		s.t.Fatal(err)
	}
}

func TestAMachineKeepsItsNameWhenItsServersAddressChanges(t *testing.T) {
	s := newSite(t)
	a := s.box("a")
	s.look("a")
	s.moves(a, "127.0.0.2")
	s.machine("m")
	if m := s.make("m"); ready(m.Status.Conditions) != "False Unreachable" || m.Status.Host != "a" {
		t.Fatalf("a machine whose server has moved is %+v", m.Status)
	}
	served := func(address string) {
		t.Helper()
		s.isAt("a", a)
		m := s.make("m")
		if got, want := m.Spec.ProviderID, "drover-host://"+s.namespace+"/m"; ready(m.Status.Conditions) != "True Provisioned" || got != want || m.Status.Host != "a" {
			t.Errorf("at %s, the machine is %s (%+v), want %s", address, got, m.Status, want)
		}
		want := []clusterv1.MachineAddress{{Type: clusterv1.MachineInternalIP, Address: address}, {Type: clusterv1.MachineHostName, Address: "m"}}
		if !slices.Equal(m.Status.Addresses, want) {
			t.Errorf("the machine's addresses are %v, want %v", m.Status.Addresses, want)
		}
		if a.Connections() == 0 {
			t.Errorf("nobody logged in at %s", address)
		}
		document, err := os.ReadFile(filepath.Join(a.dir, "installed"))
		if err != nil || !strings.Contains(string(document), `"nodeName":"m"`) || !strings.Contains(string(document), `"providerID":"`+m.Spec.ProviderID+`"`) {
			t.Errorf("at %s, the node is to be %s, %v", address, document, err)
		}
	}
	served("127.0.0.2")

	s.moves(a, "127.0.0.3")
	if m := s.make("m"); ready(m.Status.Conditions) != "False Unreachable" {
		t.Errorf("a machine whose server has moved is %+v", m.Status.Conditions)
	}
	served("127.0.0.3")
	if h := s.look("a"); ready(h.Status.Conditions) != "True Claimed" || h.Status.Claim.Name != "m" {
		t.Errorf("the Host is %s of %+v", ready(h.Status.Conditions), h.Status.Claim)
	}

	// Another one's server answers at the address that is written. It is asked for nothing.
	b := s.box("b")
	s.isAt("a", b)
	if m := s.make("m"); ready(m.Status.Conditions) != "False HostKeyMismatch" || len(b.Commands()) > 0 {
		t.Errorf("at another server's address the machine is %+v, and that one was given %q", m.Status.Conditions, b.Commands())
	}

	s.moves(a, "127.0.0.4")
	s.isAt("a", a)
	s.remove("m")
	s.make("m")
	s.look("a")
	if m := s.make("m"); m != nil {
		t.Errorf("the machine is still there: %+v", m.Status.Conditions)
	}
	a.wantNothing(t)
}
