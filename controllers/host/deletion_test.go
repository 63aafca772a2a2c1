package host

import (
	"testing"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// A slow link may take the copy of the agent half an hour. Who deletes the machine meanwhile waits for no node.
func TestADeletionEndsTheCopyThatIsUnderWay(t *testing.T) {
	s := newSite(t)
	// What is on its way when the server stalls, and is taken when it goes on, is 2 MiB at most: an SSH channel's window.
	const mib = 1 << 20
	s.agents = agentFiles{"amd64": script(t, agentScript+"exit\n"+noise(8*mib))}
	s.limits.Silence = time.Hour // the server is not given up for its slowness
	b := s.box("a")
	s.start()
	s.becomes("a", "available", func(h *v1alpha1.Host) bool { return h.Status.State == v1alpha1.HostAvailable })
	b.HangAfter(mib)
	s.machine("m")
	if !s.eventually(func() bool { return b.Hung() && b.has("drover-host/lock") }) {
		t.Fatalf("nothing is copied: %+v", s.hostMachine("m").Status)
	}

	s.remove("m")
	released := func() bool {
		claim, err := claimOf(s.host("a"))
		return err == nil && isReleased(claim)
	}
	if !s.eventually(released) {
		t.Fatalf("the copy goes on for a machine that is deleted: %+v", s.hostMachine("m").Status.Conditions)
	}
	// What is left to do needs no second copy.
	b.Heal()
	b.HangAfter(4 * mib)
	if !s.eventually(func() bool { return s.hostMachine("m") == nil }) {
		t.Errorf("the machine is still there: %+v", s.hostMachine("m").Status.Conditions)
	}
	b.Heal()
	s.becomes("a", "available again", func(h *v1alpha1.Host) bool { return h.Status.State == v1alpha1.HostAvailable })
	b.wantNothing(t)
}
