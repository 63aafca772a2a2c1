package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// sshd answers all the while: only time ends what was begun, and what hung is told all the same.
func TestAServerThatAnswersAndGetsNowhere(t *testing.T) {
	s := newSite(t)
	s.steps = steps{short: 6 * time.Second, reset: 4 * time.Second}
	s.hosts, s.machines = s.manager()
	b := s.box("a")
	hangs := func(what string, conditions []metav1.Condition, conditionType, reason string) {
		t.Helper()
		c := meta.FindStatusCondition(conditions, conditionType)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason || !strings.Contains(c.Message, what+" did not end within ") {
			t.Errorf("when %s hangs, %s is %+v", what, conditionType, c)
		}
	}
	heal := func(what string) {
		t.Helper()
		if err := os.Remove(filepath.Join(b.dir, what)); err != nil {
			t.Fatal(err)
		}
	}

	b.put(t, "preflight-hangs", "")
	h := s.look("a")
	hangs("the preflight", h.Status.Conditions, v1alpha1.ReadyCondition, "Timeout")
	hangs("the preflight", h.Status.Conditions, v1alpha1.HostFitCondition, "Timeout")
	if h.Status.State != v1alpha1.HostUnfit || unavailable(h) == "" || b.has("drover-host.visit") {
		t.Errorf("a server on which the preflight hangs is %s", h.Status.State)
	}
	heal("preflight-hangs")
	s.look("a")

	s.box("b")
	s.look("b")
	b.put(t, "install-hangs", "")
	s.machine("m")
	hangs("the agent's installation", s.make("m").Status.Conditions, v1alpha1.ReadyCondition, "Timeout")
	b.put(t, "reset-hangs", "")
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	s.make("m")
	if m := s.make("m"); m.Status.Host != "b" || ready(m.Status.Conditions) != "True Provisioned" {
		t.Errorf("the machine whose installation hung for an hour is on %q: %+v", m.Status.Host, m.Status.Conditions)
	}

	h = s.look("a")
	hangs("the agent's reset", h.Status.Conditions, v1alpha1.ReadyCondition, v1alpha1.ReasonCleanupFailed)
	hangs("the agent's reset", h.Status.Conditions, v1alpha1.HostCleanCondition, v1alpha1.ReasonCleanupFailed)
	if h.Status.State != v1alpha1.HostQuarantined {
		t.Errorf("a server on which the reset hangs is %s", h.Status.State)
	}
	heal("install-hangs")
	heal("reset-hangs")
	if h = s.look("a"); h.Status.Claim != nil || b.has("installed") || b.has("drover-host") {
		t.Errorf("a server on which nothing hangs any more is claimed by %+v: %+v", h.Status.Claim, h.Status.Conditions)
	}
}

// A slow link, or a slow disk, is no server that hangs.
func TestAnAgentMayBeCopiedForLongerThanOtherThingsTake(t *testing.T) {
	s := newSite(t)
	s.steps.short = 4 * time.Second
	s.hosts, s.machines = s.manager()
	b := s.box("a")
	b.program(t, "sync", "sleep 5") // once for each file
	begun := time.Now()
	if h := s.look("a"); h.Status.State != v1alpha1.HostAvailable || time.Since(begun) < s.steps.short {
		t.Errorf("after %s the server is %s: %+v", time.Since(begun), h.Status.State, h.Status.Conditions)
	}
}
