package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// refreshes is a pool whose user asks for a refresh at a time.
func refreshes(at string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.RefreshAtAnnotation, at)
	}
}

// refreshesItself is a Machine of which somebody asks that.
func refreshesItself(at string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.RefreshAtAnnotation, at)
	}
}

// TestMachinesAreRefreshed: of machines made at 0:00, 0:01 and 0:59 at one o'clock.
func TestMachinesAreRefreshed(t *testing.T) {
	const before, now, later = "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"
	old, next, last := newMachine(0, joined), newMachine(1, joined), newMachine(2, joined, young)
	for what, c := range map[string]struct {
		why      string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		edit     func(*Snapshot)
		want     []string
		ready    string
		reason   string
		message  string
	}{
		"all":                   {"they were made before", edits(refreshes(now)), ms(old, next, last), nil, []string{"Create 9 for Refresh", "3 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "0 of 3 machines were made since 2026-01-01T01:00:00Z"},
		"some":                  {"the last was not", edits(refreshes(before)), ms(old, next, last), nil, []string{"Create 9 for Refresh", "2 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "1 of 3 machines was made since"},
		"in another time zone":  {"it is the same moment", edits(refreshes("2026-01-01T02:30:00+02:00")), ms(old, next, last), nil, []string{"Create 9 for Refresh", "2 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "since 2026-01-01T00:30:00Z"},
		"another one is well":   {"the oldest goes", edits(refreshes(before), wants(2)), ms(old, next, last), nil, []string{"Delete 0 for Refresh", "1 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "1 of 3 machines was"},
		"it is over":            {"none is older", edits(refreshes(before)), ms(newMachine(2, joined, young), newMachine(3, joined, young), newMachine(4, joined, young)), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshed, "No machine is there that was made before 2026-01-01T00:30:00Z"},
		"in the same second":    {"the time of a Machine has no more than seconds", edits(refreshes("2026-01-01T00:59:00.9Z"), wants(1)), ms(last), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshed, "before 2026-01-01T00:59:00Z"},
		"in an hour":            {"it is not yet time", edits(refreshes(later)), ms(old, next, last), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshWaits, "before 2026-01-01T02:00:00Z are replaced from then on"},
		"no time":               {"nothing is changed, and it is said what to write", edits(refreshes("tomorrow")), ms(old, next, last), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshInvalid, `the annotation fleet.drover.dev/refresh-at is "tomorrow", which is no time: write one such as 2026-11-30T13:00:00Z, or take it away. No machine is replaced for it`},
		"a day":                 {"nor is that a time", edits(refreshes("2026-01-01")), ms(old, next, last), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshInvalid, "which is no time"},
		"nothing":               {"nor that", edits(refreshes("")), ms(old, next, last), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshInvalid, `is "", which is no time`},
		"a machine":             {"it alone", nil, ms(old, newMachine(1, joined, refreshesItself(now)), last), nil, []string{"Create 9 for Refresh", "1 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, "", ""},
		"a machine, at no time": {"that is said on the pool", nil, ms(old, newMachine(1, joined, refreshesItself("now")), last), nil, []string{}, v1alpha1.ReasonAllReplicasReady, v1alpha1.ReasonRefreshInvalid, "Of Machine " + next.Name + " the annotation"},
		"of age as well":        {"what somebody asks for counts", edits(refreshes(now), expires(30*time.Minute)), ms(old, next, last), nil, []string{"Create 9 for Refresh", "3 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "0 of 3"},
		"a budget":              {"it is about this, and the pool is not done", edits(refreshes(now), hasBudgets(budgetOf("0", v1alpha1.DisruptionRefresh))), ms(old, next, last), nil, []string{"1 Create: DisruptionBudget", "3 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "0 of 3"},
		"another's budget":      {"it is not", edits(refreshes(now), hasBudgets(budgetOf("0", v1alpha1.DisruptionExpiry))), ms(old, next, last), nil, []string{"Create 9 for Refresh", "3 Delete: ReplacementFirst"}, v1alpha1.ReasonReplacing, v1alpha1.ReasonRefreshing, "0 of 3"},
		"left alone":            {"the last that is to go", edits(refreshes(before)), ms(newMachine(0, joined, leftAlone("a batch")), newMachine(1, joined, young), last), nil, []string{"1 Delete: DoNotDisrupt"}, v1alpha1.ReasonDoNotDisrupt, v1alpha1.ReasonRefreshing, "2 of 3"},
		"paused":                {"nothing is done", edits(refreshes(now), isPaused), ms(old, next, last), nil, []string{"1 Create: Paused", "3 Delete: Paused"}, v1alpha1.ReasonPaused, v1alpha1.ReasonRefreshing, "0 of 3"},
		"the fleet is stopped":  {"nothing is done", edits(refreshes(now)), ms(old, next, last), func(s *Snapshot) { s.Stopped = "fire" }, []string{"1 Create: FleetStopped", "3 Delete: FleetStopped"}, v1alpha1.ReasonFleetStopped, v1alpha1.ReasonRefreshing, "0 of 3"},
		"none has a node":       {"they are as new as any would be", edits(refreshes(now), wants(1)), ms(newMachine(0, unready)), func(s *Snapshot) { s.Agents[old.Name] = runs(0, "r1", unstarted) }, []string{}, v1alpha1.ReasonWaitingForMachines, v1alpha1.ReasonRefreshing, "0 of 1 machine was"},
		"the pool goes":         {"all do, and nobody asks for more", edits(refreshes(now), isDeleting), ms(old), nil, []string{"Delete 0 for PoolDeletion"}, v1alpha1.ReasonDeleting, "", ""},
	} {
		t.Run(what, func(t *testing.T) {
			s := snapshot(newPool(3, 9, c.pool...), c.machines...)
			hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"), runs(3, "r1"), runs(4, "r1"))(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			if diff := cmp.Diff(c.want, replacing(Plan(s))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			status, _ := reportOf(s, Outcome{})
			if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition); ready.Reason != c.ready {
				t.Errorf("it is %s: %s", ready.Reason, ready.Message)
			}
			is := meta.FindStatusCondition(status.Conditions, v1alpha1.RefreshedCondition)
			if is == nil != (c.reason == "") || is != nil && (is.Reason != c.reason || !strings.Contains(is.Message, c.message) || (is.Status == metav1.ConditionTrue) != (c.reason == v1alpha1.ReasonRefreshed)) {
				t.Errorf("it says %+v, want %s: %s", is, c.reason, c.message)
			}
		})
	}
}

// TestARefreshThatCannotBeIsAnEvent, once, and so is one that waits.
func TestARefreshThatCannotBeIsAnEvent(t *testing.T) {
	for at, want := range map[string]string{"tomorrow": corev1.EventTypeWarning + " " + v1alpha1.ReasonRefreshInvalid, "2026-01-01T02:00:00Z": corev1.EventTypeNormal + " " + v1alpha1.ReasonRefreshWaits, "2026-01-01T00:00:00Z": ""} {
		s := snapshot(newPool(1, 9, refreshes(at)), newMachine(0, joined))
		hasAgents(runs(0, "r1"))(&s)
		status, events := reportOf(s, Outcome{})
		got := ""
		for _, e := range events {
			if strings.HasPrefix(e.Reason, "Refresh") {
				got += e.Type + " " + e.Reason
			}
		}
		if got != want {
			t.Errorf("%s raises %q, want %q", at, got, want)
		}
		s.Pool.Status = status
		if _, events = reportOf(s, Outcome{}); slices.ContainsFunc(events, func(e Event) bool { return strings.HasPrefix(e.Reason, "Refresh") }) {
			t.Errorf("%s raises it again: %+v", at, events)
		}
	}
}

// TestThePoolIsPlannedAgainWhenARefreshBegins, of the pool or a machine.
func TestThePoolIsPlannedAgainWhenARefreshBegins(t *testing.T) {
	s := snapshot(newPool(1, 9, refreshes("2026-01-01T02:00:00Z")), newMachine(0, joined))
	hasAgents(runs(0, "r1"))(&s)
	if after := Plan(s).RequeueAfter; after != time.Hour {
		t.Errorf("it is planned again after %s, want an hour", after)
	}
	refreshesItself("2026-01-01T01:10:00Z")(s.Machines[0])
	if after := Plan(s).RequeueAfter; after != 10*time.Minute {
		t.Errorf("it is planned again after %s, want ten minutes", after)
	}
}
