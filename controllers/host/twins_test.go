package host

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestServersThatWereClonedBecomeMachinesOfTheirOwn(t *testing.T) {
	s := newSite(t)
	hosts, id := []string{"a", "b"}, "of-"+s.namespace
	for _, name := range hosts {
		s.box(name).put(t, "machine-id", id)
		s.look(name)
	}
	// Each is looked at again, now that the other one is known.
	s.hosts, s.machines = s.manager()
	var said []string
	for _, name := range hosts {
		h := s.look(name)
		if got := ready(h.Status.Conditions); got != "True Available" || h.Status.Facts.MachineID != id {
			t.Errorf("a server that was cloned is %s, with the machine-id %q", got, h.Status.Facts.MachineID)
		}
		if c := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostFitCondition); c.Message != "" {
			said = append(said, c.Message)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "MachineID: the server of Host "+s.namespace+"/") || !strings.Contains(said[0], "systemd-machine-id-setup") {
		t.Errorf("of two servers with one machine-id it is said: %q, want it of the younger", said)
	}

	got := map[string]string{}
	for _, name := range []string{"m", "n"} {
		s.machine(name)
		m := s.make(name)
		if ready(m.Status.Conditions) != "True Provisioned" || m.Spec.ProviderID != "drover-host://"+s.namespace+"/"+name {
			t.Errorf("machine %s of a cloned server is %s: %+v", name, m.Spec.ProviderID, m.Status.Conditions)
		}
		got[m.Status.Host] = name
	}
	if len(got) != len(hosts) {
		t.Errorf("the Hosts have the machines %v, want one each", got)
	}
}
