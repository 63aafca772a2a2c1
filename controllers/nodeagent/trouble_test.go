package nodeagent

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestATroubleIsLookedAtLessAndLessOften(t *testing.T) {
	o := booting()
	o.trouble = notApplied
	// An earlier manager told of it, by a clock of its own.
	o.had("False", notApplied.reason, notApplied.Error())
	o.machine.Status.Conditions[0].LastTransitionTime = metav1.NewTime(made.Add(-time.Hour))
	var seen seen
	for _, step := range []struct {
		trouble *trouble
		at      time.Duration
		want    time.Duration
	}{{notApplied, 0, leastRetry}, {notApplied, time.Minute, time.Minute}, {notApplied, time.Hour, mostRetry}, {lacksRevision, time.Hour, leastRetry}, {nil, time.Hour, 0},
		{lacksRevision, 2 * time.Hour, leastRetry}} {
		o.trouble, o.now = step.trouble, made.Add(step.at)
		o.troubled = seen.troubledSince(o)
		if got := recheckAfter(o); step.trouble != nil && got != step.want {
			t.Errorf("%v after %s: got %s, want %s", step.trouble, step.at, got, step.want)
		}
	}
}
