package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func hasToStayReady(seconds int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Rollout.MinReadySeconds = &seconds }
}

// isReady says that the pool's status has a machine as well for so long.
func isReady(ordinal int64, since time.Duration) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		if p.Status.Rollout == nil {
			p.Status.Rollout = &v1alpha1.NodePoolRolloutStatus{}
		}
		at := metav1.NewTime(epoch.Add(time.Hour - since))
		p.Status.Rollout.Ready = append(p.Status.Rollout.Ready, v1alpha1.ReadyMachine{Name: newMachine(ordinal).Name, Since: at})
	}
}

// readySince says that a machine's Ready is True for so long.
func readySince(since time.Duration) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		for i := range m.Status.Conditions {
			m.Status.Conditions[i].LastTransitionTime = metav1.NewTime(epoch.Add(time.Hour - since))
		}
	}
}

func TestANodeHasToStayReady(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined, readySince(time.Hour)}, edits...)...)
	}
	name := newMachine(0).Name
	next := ms(made(0), made(1))
	changed := as(runs(0, "r1"), runs(1, "r0"))
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		want     []int64
		updating []int64
		since    time.Duration // of the first machine, in the status; below zero for none
		after    time.Duration
		deferred string
	}{
		"no time is asked for":        {reason: "the next one follows at once", machines: next, agents: changed, want: []int64{1}, updating: []int64{1}, since: -1},
		"it has just become well":     {reason: "since when is noted, and the next one waits", pool: edits(hasToStayReady(60)), machines: next, agents: changed, updating: []int64{0}, after: time.Minute, deferred: "runs revision r1, and has to stay ready until 2026-01-01T01:01:00Z"},
		"it is well for a while":      {reason: "the rest of the time is waited for", pool: edits(hasToStayReady(60), isReady(0, 20*time.Second)), machines: next, agents: changed, updating: []int64{0}, since: 20 * time.Second, after: 40 * time.Second, deferred: "until 2026-01-01T01:00:40Z"},
		"it is well for long enough":  {reason: "its change is over", pool: edits(hasToStayReady(60), isReady(0, time.Minute)), machines: next, agents: changed, want: []int64{1}, updating: []int64{1}, since: -1},
		"it was not ready in between": {reason: "what we did not see counts too", pool: edits(hasToStayReady(60), isReady(0, 50*time.Second)), machines: ms(made(0, readySince(5*time.Second)), made(1)), agents: changed, updating: []int64{0}, since: 5 * time.Second, after: 55 * time.Second, deferred: "until 2026-01-01T01:00:55Z"},
		"it fell ill":                 {reason: "the time begins anew when it is well", pool: edits(hasToStayReady(60), isReady(0, 50*time.Second)), machines: ms(made(0, unready), made(1)), agents: changed, updating: []int64{0}, since: -1, deferred: "runs revision r1 and is not ready"},
		"the time is taken back":      {reason: "an edit counts at once", pool: edits(hasToStayReady(0), isReady(0, 20*time.Second)), machines: next, agents: changed, want: []int64{1}, updating: []int64{1}, since: -1},
		"edited meanwhile":            {reason: "it is given the newest, for which it has to stay well anew", pool: edits(hasToStayReady(60), isReady(0, 20*time.Second)), machines: next, agents: as(runs(0, "r-1"), runs(1, "r0")), want: []int64{0}, updating: []int64{0}, since: -1, deferred: "is changed first"},
		"several":                     {reason: "one that has to stay well takes one of two places", pool: edits(hasToStayReady(60), isReady(0, 20*time.Second), mayMiss("2")), machines: ms(made(0), made(1), made(2)), agents: as(runs(0, "r1"), runs(1, "r0"), runs(2, "r0")), want: []int64{1}, updating: []int64{0, 1}, since: 20 * time.Second, after: 40 * time.Second, deferred: "has to stay ready until"},
		"paused, and the time is up":  {reason: "what is noted stays, so that the time does not begin anew", pool: edits(hasToStayReady(60), isReady(0, time.Hour), isPaused), machines: next, agents: changed, updating: []int64{0}, since: time.Hour, deferred: "spec.paused is set"},
	} {
		t.Run(what, func(t *testing.T) {
			s := snapshot(newPool(int32(len(c.machines)), 9, append(c.pool, isUpdating(0))...), c.machines...) //nolint:gosec // a few
			hasAgents(c.agents...)(&s)
			result := Plan(s)
			if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v are given the target, want %v", c.reason, got, c.want)
			}
			var updating []string
			for _, ordinal := range c.updating {
				updating = append(updating, newMachine(ordinal).Name)
			}
			if !slices.Equal(result.Updating, updating) || soon(result) != c.after {
				t.Errorf("%s: the status names %v, want %v; it is planned again after %s, want %s", c.reason, result.Updating, updating, soon(result), c.after)
			}
			message := ""
			for _, d := range result.Deferred {
				message = d.Message
			}
			if !strings.Contains(message, c.deferred) || (message == "") != (c.deferred == "") {
				t.Errorf("%s: deferred for %q, want %q", c.reason, message, c.deferred)
			}
			status, _ := Report(s, result, Outcome{})
			switch ready := status.Rollout; {
			case c.since < 0 && ready != nil && len(ready.Ready) > 0:
				t.Errorf("%s: the status has %+v, want none", c.reason, ready)
			case c.since >= 0 && (ready == nil || len(ready.Ready) != 1 || ready.Ready[0].Name != name || !ready.Ready[0].Since.Time.Equal(epoch.Add(time.Hour-c.since))):
				t.Errorf("%s: the status has %+v, want %s for %s", c.reason, ready, name, c.since)
			}
		})
	}
}

// TestAChangeThatIsOverInTimeIsConfirmed: no event tells of it, and a cache is no ground to begin the next one on.
func TestAChangeThatIsOverInTimeIsConfirmed(t *testing.T) {
	s := snapshot(newPool(1, 9, hasToStayReady(60), isReady(0, time.Minute), isUpdating(0)), newMachine(0, joined, readySince(time.Hour)))
	hasAgents(runs(0, "r1"))(&s)
	s.Confirmed = false
	if result := Plan(s); !slices.Equal(result.Confirm, []string{newMachine(0).Name}) {
		t.Errorf("to confirm are %v", result.Confirm)
	}
	s.Confirmed = true
	result := Plan(s)
	if status, _ := Report(s, result, Outcome{}); len(status.Updating) > 0 || status.Rollout != nil && len(status.Rollout.Ready) > 0 {
		t.Errorf("it is over, and the status has %v, %+v", status.Updating, status.Rollout)
	}
}
