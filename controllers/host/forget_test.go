package host

import (
	"testing"
	"time"
)

func TestNothingIsRememberedOfAHostThatIsGone(t *testing.T) {
	s := newSite(t)
	// What is remembered of a claim is believed for seconds only, and this takes longer where much else is done.
	now := time.Now()
	s.hosts.picks.claimed.Now = func() time.Time { return now }
	s.box("a")
	unclaimed := s.look("a")
	s.machine("m")
	s.make("m")
	s.remove("m")
	s.make("m")
	s.look("a")
	s.make("m")
	last, name := s.look("a"), s.request("a").NamespacedName
	if !s.hosts.said.IsOurs(name, last.Status) {
		t.Fatal("of a Host that is there, the status is not remembered")
	}
	if len(s.hosts.passed.hosts) != 1 || !s.hosts.picks.claimed.IsOlder(unclaimed) {
		t.Fatalf("of a Host that is there, the preflight is remembered: %v, the claim: %v", s.hosts.passed.hosts, s.hosts.picks.claimed.IsOlder(unclaimed))
	}
	if err := s.Client.Delete(t.Context(), s.host("a")); err != nil {
		t.Fatal(err)
	}
	if h := s.look("a"); h != nil {
		t.Fatalf("the Host is still there: %+v", h.Status)
	}
	if s.hosts.said.IsOurs(name, last.Status) {
		t.Error("of a Host that is gone, the status is remembered")
	}
	if len(s.hosts.passed.hosts) != 0 || s.hosts.picks.claimed.IsOlder(unclaimed) {
		t.Errorf("of a Host that is gone, the preflight is remembered: %v, the claim: %v", s.hosts.passed.hosts, s.hosts.picks.claimed.IsOlder(unclaimed))
	}
}
