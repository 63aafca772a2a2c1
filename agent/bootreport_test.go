package agent

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func bootReport(t *testing.T, b *bootReporter) node.BootReport {
	t.Helper()
	var got node.BootReport
	data, err := os.ReadFile(b.path)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheBootReportShowsTheGravestCause(t *testing.T) {
	asking := word{stepIdentity, "", "asking"}
	join := word{stepIdentity, v1alpha1.ReasonJoinFailed, "no answer"}
	denied := word{stepIdentity, v1alpha1.ReasonCertificateDenied, "wrong name"}
	preflight := word{phaseInstall, v1alpha1.ReasonPreflightFailed, "the clock is wrong"}
	fetch := word{phaseInstall, v1alpha1.ReasonBundleFetchFailed, "no route"}
	for name, c := range map[string]struct {
		why             string
		said            []word
		reason, message string
	}{
		"the clock":      {"a later complaint about joining must not hide it", []word{asking, preflight, join, join}, v1alpha1.ReasonPreflightFailed, "the clock is wrong; JoinFailed too: no answer"},
		"the bundle":     {"nor that the artifact endpoint is out of reach", []word{fetch, join}, v1alpha1.ReasonBundleFetchFailed, "no route; JoinFailed too: no answer"},
		"a denial":       {"no machine mends that by itself", []word{denied, fetch}, v1alpha1.ReasonCertificateDenied, "wrong name; BundleFetchFailed too: no route"},
		"under way":      {"what fails says more than what is under way", []word{fetch, asking}, v1alpha1.ReasonBundleFetchFailed, "no route"},
		"one at a time":  {"a phase has met its last obstacle only", []word{preflight, fetch}, v1alpha1.ReasonBundleFetchFailed, "no route"},
		"all under way":  {"the latest step is shown", []word{asking}, "", "asking"},
		"an own failure": {"a reason of no list is shown before all others", []word{preflight, {"Bootstrap", "Other", "no document"}}, "Other", "no document; PreflightFailed too: the clock is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBootReporter(t.TempDir(), logr.Discard())
			for _, w := range c.said {
				b.say(w.phase, w.reason, w.message)
			}
			if got := bootReport(t, b); got.Reason != c.reason || got.Message != c.message {
				t.Errorf("got %s: %s, want %s: %s; %s", got.Reason, got.Message, c.reason, c.message, c.why)
			}
		})
	}
}

func TestTheBootReportDropsWhatWasOvercome(t *testing.T) {
	b := newBootReporter(t.TempDir(), logr.Discard())
	b.say(stepIdentity, v1alpha1.ReasonJoinFailed, "no answer")
	b.say(phaseInstall, v1alpha1.ReasonPreflightFailed, "the clock is wrong")
	b.overcome(phaseInstall)
	if got := bootReport(t, b); got.Phase != stepIdentity || got.Message != "no answer" {
		t.Errorf("got %+v, want what still fails", got)
	}
}
