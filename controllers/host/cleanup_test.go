package host

import (
	"testing"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestTheMachinesCleanupRulesOverTheHosts(t *testing.T) {
	s := newSite(t)
	for name, test := range map[string]struct {
		reason        string
		host, machine v1alpha1.HostCleanup
		want          v1alpha1.HostState
	}{
		"manual": {"a machine may have somebody look at a server that needs none", v1alpha1.HostCleanupReset, v1alpha1.HostCleanupManual, v1alpha1.HostQuarantined},
		"reset":  {"a machine may spare a server the look", v1alpha1.HostCleanupManual, v1alpha1.HostCleanupReset, v1alpha1.HostAvailable},
		"hosts":  {"a machine that says nothing leaves it to the Host", v1alpha1.HostCleanupManual, "", v1alpha1.HostQuarantined},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.box(name, func(h *v1alpha1.Host) {
				h.Spec.Cleanup, h.Labels = test.host, map[string]string{"for": name}
			})
			s.look(name)
			s.machine(name, func(m *v1alpha1.HostMachine) {
				m.Spec.Cleanup, m.Spec.HostSelector.MatchLabels = test.machine, map[string]string{"for": name}
				m.Spec.UnreachableTimeoutSeconds = ptr.To[int32](0)
			})
			s.make(name)
			// The server is away until its HostMachine is gone, and another manager leads when it is back.
			b.DropAfter(0)
			s.remove(name)
			s.make(name)
			s.look(name)
			if m := s.make(name); m != nil {
				t.Fatalf("the HostMachine is still there: %+v", m.Status.Conditions)
			}
			b.Heal()
			s.hosts, s.machines = s.manager()
			s.look(name)
			if h := s.look(name); h.Status.State != test.want || b.has("installed") {
				t.Errorf("%s: the Host is %s, want %s; installed %v: %+v", test.reason, h.Status.State, test.want, b.has("installed"), h.Status.Conditions)
			}
		})
	}
}

func TestAHostWhoseClaimerVanishedIsCleanedAsThatOneWanted(t *testing.T) {
	s := newSite(t)
	s.box("a")
	s.look("a")
	s.machine("m", func(m *v1alpha1.HostMachine) { m.Spec.Cleanup = v1alpha1.HostCleanupManual })
	m := s.make("m")
	m.Finalizers = nil
	if err := s.Client.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.remove("m")
	s.look("a")
	if h := s.look("a"); h.Status.State != v1alpha1.HostQuarantined {
		t.Errorf("the Host is %s: %+v", h.Status.State, h.Status.Conditions)
	}
}
