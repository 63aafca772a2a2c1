package bootreport

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func read(t *testing.T, r *Reporter) node.BootReport {
	t.Helper()
	var got node.BootReport
	data, err := os.ReadFile(r.path)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheBootReportShowsTheGravestCause(t *testing.T) {
	asking := statement{PhaseIdentity, "", "asking"}
	join := statement{PhaseIdentity, v1alpha1.ReasonJoinFailed, "no answer"}
	denied := statement{PhaseIdentity, v1alpha1.ReasonCertificateDenied, "wrong name"}
	preflight := statement{PhaseInstall, v1alpha1.ReasonPreflightFailed, "the clock is wrong"}
	fetch := statement{PhaseInstall, v1alpha1.ReasonBundleFetchFailed, "no route"}
	for name, c := range map[string]struct {
		why             string
		said            []statement
		reason, message string
	}{
		"the clock":      {"a later complaint about joining must not hide it", []statement{asking, preflight, join, join}, v1alpha1.ReasonPreflightFailed, "the clock is wrong; JoinFailed too: no answer"},
		"the bundle":     {"nor that the artifact endpoint is out of reach", []statement{fetch, join}, v1alpha1.ReasonBundleFetchFailed, "no route; JoinFailed too: no answer"},
		"a denial":       {"no machine mends that by itself", []statement{denied, fetch}, v1alpha1.ReasonCertificateDenied, "wrong name; BundleFetchFailed too: no route"},
		"under way":      {"what fails says more than what is under way", []statement{fetch, asking}, v1alpha1.ReasonBundleFetchFailed, "no route"},
		"one at a time":  {"a phase has met its last obstacle only", []statement{preflight, fetch}, v1alpha1.ReasonBundleFetchFailed, "no route"},
		"all under way":  {"the latest step is shown", []statement{asking}, "", "asking"},
		"an own failure": {"a reason of no list is shown before all others", []statement{preflight, {PhaseBootstrap, "Other", "no document"}}, "Other", "no document; PreflightFailed too: the clock is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t.TempDir(), logr.Discard())
			for _, w := range c.said {
				r.Say(w.phase, w.reason, w.message)
			}
			if got := read(t, r); got.Reason != c.reason || got.Message != c.message {
				t.Errorf("got %s: %s, want %s: %s; %s", got.Reason, got.Message, c.reason, c.message, c.why)
			}
		})
	}
}

func TestTheBootReportDropsWhatWasOvercome(t *testing.T) {
	r := New(t.TempDir(), logr.Discard())
	r.Say(PhaseIdentity, v1alpha1.ReasonJoinFailed, "no answer")
	r.Say(PhaseInstall, v1alpha1.ReasonPreflightFailed, "the clock is wrong")
	r.Overcome(PhaseInstall)
	if got := read(t, r); got.Phase != PhaseIdentity || got.Message != "no answer" {
		t.Errorf("got %+v, want what still fails", got)
	}
	r.Overcome(PhaseIdentity)
	if _, err := os.Stat(r.path); err == nil {
		t.Error("a report is left although nothing is in the way any more")
	}
}

func TestTheBootReportEndsWithTheIdentityAndResumesWithoutANodeAgent(t *testing.T) {
	r := New(t.TempDir(), logr.Discard())
	r.Say(PhaseIdentity, v1alpha1.ReasonCertificateDenied, "wrong token")
	if got := read(t, r); got.Phase != PhaseIdentity || got.Message != "wrong token" || got.Time.IsZero() {
		t.Errorf("got %+v", got)
	}
	r.End()
	r.Say(PhaseInstall, "", "too late")
	if _, err := os.Stat(r.path); err == nil {
		t.Error("the report is back: NodeAgent.status has taken over")
	}
	r.Resume()
	r.Say(PhaseRegister, v1alpha1.ReasonNodeNotWanted, "nobody wants this Node")
	if got := read(t, r); got.Phase != PhaseRegister || got.Message != "nobody wants this Node" {
		t.Errorf("got %+v, want what came after the status ended, alone", got)
	}
}
