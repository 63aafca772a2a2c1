package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// ofOld is a machine with a node that was made from another infrastructure than the target's.
func ofOld(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
	return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
}

// readyFor says that a machine was so long Ready.
func readyFor(ago time.Duration) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		for i := range m.Status.Conditions {
			m.Status.Conditions[i].LastTransitionTime = metav1.NewTime(epoch.Add(time.Hour - ago))
		}
	}
}

func rests(seconds int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Rollout.MinReadySeconds = &seconds }
}

// replacing are what a plan does and defers that has to do with one machine taking the place of another, in short.
func replacing(result Result) []string {
	list := []string{}
	for _, a := range result.Actions {
		if a.Verb == Create || a.Verb == Delete || a.Verb == Update {
			name := strings.TrimPrefix(a.Name, newMachine(0).Name[:len(newMachine(0).Name)-1])
			list = append(list, fmt.Sprintf("%s %s for %s", a.Verb, name, a.Cause))
		}
	}
	for _, d := range result.Deferred {
		list = append(list, fmt.Sprintf("%d %s: %s", d.Count, d.Verb, d.Reason))
	}
	return list
}

func TestMachinesAreReplaced(t *testing.T) {
	old := func(ordinal int64) *v1alpha1.NodeAgent { return runs(ordinal, "r0") }
	three, threeAgents := ms(ofOld(0), ofOld(1), ofOld(2)), as(old(0), old(1), old(2))
	with := func(more ...*clusterv1.Machine) []*clusterv1.Machine { return append(ms(three...), more...) }
	agents := func(more ...*v1alpha1.NodeAgent) []*v1alpha1.NodeAgent { return append(as(threeAgents...), more...) }
	fresh, coming := runs(3, "r1"), runs(3, "r1", unstarted)
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		want     []string
	}{
		"it begins":                {"another one is made first", nil, three, threeAgents, nil, []string{"Create 9 for Rollout", "3 Delete: ReplacementFirst"}},
		"two at a time":            {"as many as the surge has", edits(maySurge("2")), three, threeAgents, nil, []string{"Create 9 for Rollout", "Create 10 for Rollout", "3 Delete: ReplacementFirst"}},
		"more than there are":      {"no more are made than go", edits(maySurge("100%"), wants(3)), three, threeAgents, nil, []string{"Create 9 for Rollout", "Create 10 for Rollout", "Create 11 for Rollout", "3 Delete: ReplacementFirst"}},
		"it has not joined":        {"nobody goes, and no other is made", nil, with(newMachine(3, unready)), agents(coming), nil, []string{"3 Delete: ReplacementFirst"}},
		"it is not well":           {"nor then", nil, with(newMachine(3, joined, unready)), agents(fresh), nil, []string{"3 Delete: ReplacementFirst"}},
		"it is well":               {"the oldest goes", nil, with(newMachine(3, joined)), agents(fresh), nil, []string{"Delete 0 for Rollout", "2 Delete: ReplacementFirst"}},
		"not for long enough":      {"minReadySeconds", edits(rests(60)), with(newMachine(3, joined, readyFor(time.Second))), agents(fresh), nil, []string{"3 Delete: ReplacementFirst"}},
		"for long enough":          {"minReadySeconds", edits(rests(60)), with(newMachine(3, joined, readyFor(time.Minute))), agents(fresh), nil, []string{"Delete 0 for Rollout", "2 Delete: ReplacementFirst"}},
		"a broken one":             {"nobody misses it, so that it goes first", nil, ms(ofOld(0), ofOld(1, unready), ofOld(2), newMachine(3, joined)), agents(fresh), nil, []string{"Delete 1 for Rollout", "2 Delete: ReplacementFirst"}},
		"one that is annotated":    {"somebody wants it to go first", nil, ms(ofOld(0), ofOld(1), ofOld(2, deleteFirst), newMachine(3, joined)), agents(fresh), nil, []string{"Delete 2 for Rollout", "2 Delete: ReplacementFirst"}},
		"a silent one":             {"it is passed over", nil, ms(ofOld(0, silent), ofOld(1), ofOld(2), newMachine(3, joined)), agents(fresh), nil, []string{"Delete 1 for Rollout", "1 Delete: ReplacementFirst"}},
		"all are silent":           {"none goes, and the surge is no surplus", edits(wants(3)), ms(ofOld(0, silent), ofOld(1, silent), ofOld(2, silent), newMachine(3, joined)), agents(fresh), nil, []string{}},
		"its NodeAgent is gone":    {"nor is it while nobody knows what the other runs", edits(wants(1)), ms(ofOld(0), newMachine(3, joined, unready)), as(fresh), nil, []string{}},
		"an edit before it joined": {"it is given that first, and is in nobody's place", nil, with(newMachine(3, unready, func(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = "r-1" })), agents(runs(3, "r-1", unstarted)), nil, []string{"Update 3 for Rollout", "3 Delete: ReplacementFirst"}},
		"one goes":                 {"the next is made when it is gone", nil, ms(ofOld(0, leaving), ofOld(1), ofOld(2), newMachine(3, joined)), agents(fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"one of two goes":          {"another is made beside it", edits(maySurge("2")), ms(ofOld(0, leaving), ofOld(1), ofOld(2), newMachine(3, joined)), agents(fresh), nil, []string{"Create 9 for Rollout", "2 Delete: ReplacementFirst"}},
		"a user deletes one":       {"the one that was made takes its place", nil, ms(ofOld(0), ofOld(1), ofOld(2, leaving), newMachine(3, joined)), agents(fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"the last":                 {"it goes", nil, ms(newMachine(1, joined), newMachine(2, joined), ofOld(0), newMachine(3, joined)), as(runs(1, "r1"), runs(2, "r1"), old(0), fresh), nil, []string{"Delete 0 for Rollout"}},
		"it never had a node":      {"nobody misses it, and it waits for nobody", edits(wants(3)), ms(ofOld(0), ofOld(1), ofOld(2), newMachine(3, unready, func(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = "r0" })), agents(runs(3, "r0", unstarted)), nil, []string{"Delete 3 for Rollout", "3 Delete: ReplacementFirst"}},
		"scaled down meanwhile":    {"one goes at once, the surge stays", edits(wants(2)), with(newMachine(3, joined)), agents(fresh), nil, []string{"Delete 2 for ScaleDown", "Delete 0 for Rollout", "1 Delete: ReplacementFirst"}},
		"scaled to nothing":        {"there is nothing to replace them with", edits(wants(0)), three, threeAgents, nil, []string{"Delete 2 for ScaleDown", "Delete 1 for ScaleDown", "Delete 0 for ScaleDown"}},
		"scaled up meanwhile":      {"the new ones are made beside the surge", edits(wants(4)), three, threeAgents, nil, []string{"Create 9 for ScaleUp", "Create 10 for Rollout", "3 Delete: ReplacementFirst"}},
		"the template is back": {"the one that was made goes", nil, ms(ofOld(0), ofOld(1), ofOld(2), newMachine(3, joined)), agents(fresh), func(s *Snapshot) {
			s.Revision, s.Contents["r1"] = "r0", Content{Spec: s.Contents["r1"].Spec, Elsewhere: true}
		}, []string{"Delete 3 for Rollout"}},
		"without a surge":           {"one goes first", edits(maySurge("0")), three, threeAgents, nil, []string{"Delete 0 for Rollout", "2 Delete: OneAtATime"}},
		"one is gone":               {"another is made, by the pool's own rule", edits(maySurge("0"), wants(3)), ms(ofOld(1), ofOld(2)), as(old(1), old(2)), nil, []string{"Create 9 for ScaleUp", "2 Delete: OneAtATime"}},
		"one is drained":            {"the next waits, although another is well already", edits(maySurge("0"), wants(3)), ms(ofOld(0, leaving), ofOld(1), ofOld(2), newMachine(3, joined)), agents(fresh), nil, []string{"2 Delete: OneAtATime"}},
		"two may be unavailable":    {"two go first", edits(maySurge("0"), mayMiss("2")), three, threeAgents, nil, []string{"Delete 0 for Rollout", "Delete 1 for Rollout", "1 Delete: MaxUnavailable"}},
		"one of them is not back":   {"it counts", edits(maySurge("0"), mayMiss("2")), ms(ofOld(1), ofOld(2), newMachine(3, joined, unready)), as(old(1), old(2), fresh), nil, []string{"Delete 1 for Rollout", "1 Delete: MaxUnavailable"}},
		"refused, without a surge":  {"none goes that nothing could replace", edits(maySurge("0")), three, threeAgents, func(s *Snapshot) { s.Refused = &Refusal{Message: "quota", Until: s.Now.Add(time.Minute)} }, []string{"3 Delete: Refused"}},
		"refused":                   {"the one that is there is well: it takes another's place", edits(maySurge("2")), with(newMachine(3, joined)), agents(fresh), func(s *Snapshot) { s.Refused = &Refusal{Message: "quota", Until: s.Now.Add(time.Minute)} }, []string{"Delete 0 for Rollout", "1 Create: Refused", "2 Delete: ReplacementFirst"}},
		"paused":                    {"nothing is done", edits(isPaused), three, threeAgents, nil, []string{"1 Create: Paused", "3 Delete: Paused"}},
		"the fleet is stopped":      {"none is made that nothing lacks", nil, three, threeAgents, func(s *Snapshot) { s.Stopped = "fire" }, []string{"1 Create: FleetStopped", "3 Delete: FleetStopped"}},
		"stalled":                   {"what the template means is not known for sure", edits(maySurge("0")), three, threeAgents, func(s *Snapshot) { s.Problems = []Problem{{Reason: "X", Message: "x"}} }, []string{"3 Delete: Stalled"}},
		"a machine went back":       {"nobody else is given the target", nil, ms(ofOld(0), ofOld(1), ofOld(2), newMachine(3, joined)), agents(runs(3, "r0", wentBack("r1"))), nil, []string{"3 Delete: RolledBack"}},
		"a canary":                  {"one is made, whatever the surge", edits(maySurge("3"), hasCanary(1, 0)), three, threeAgents, nil, []string{"Create 9 for Rollout", "2 Create: Canary", "3 Delete: ReplacementFirst"}},
		"the canary soaks":          {"it takes another's place, and no other is made", edits(maySurge("2"), hasCanary(1, 600)), with(newMachine(3, joined)), agents(fresh), nil, []string{"Delete 0 for Rollout", "1 Create: Canary", "2 Delete: ReplacementFirst"}},
		"a canary without a surge":  {"one goes", edits(maySurge("0"), mayMiss("3"), hasCanary(1, 0)), three, threeAgents, nil, []string{"Delete 0 for Rollout", "2 Delete: Canary"}},
		"a budget of none":          {"nothing begins", edits(hasBudgets(budgetOf("0"))), three, threeAgents, nil, []string{"1 Create: DisruptionBudget", "3 Delete: ReplacementFirst"}},
		"a budget of one":           {"it is used by the one that goes", edits(maySurge("2"), hasBudgets(budgetOf("1"))), ms(ofOld(0), ofOld(1), ofOld(2), newMachine(3, joined), newMachine(4, joined)), agents(fresh, runs(4, "r1")), nil, []string{"Delete 0 for Rollout", "2 Delete: DisruptionBudget"}},
		"one is changed in place":   {"no two at once", nil, ms(ofOld(0), ofOld(1), newMachine(2, joined), newMachine(3, joined)), as(old(0), old(1), runs(2, "r1", given("r1", v1alpha1.PhaseProbation)), fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"a cache is no ground":      {"for the number of machines", nil, with(newMachine(3, joined)), agents(fresh), func(s *Snapshot) { s.Live = false }, []string{"1 Delete: CacheUnconfirmed", "2 Delete: ReplacementFirst"}},
		"nor is it for which goes":  {"somebody may have told it something else", nil, with(newMachine(3, joined)), agents(fresh), func(s *Snapshot) { s.Confirmed = false }, []string{"1 Delete: CacheUnconfirmed", "2 Delete: ReplacementFirst"}},
		"the pool is being deleted": {"all go, and none is made", edits(isDeleting), three, threeAgents, nil, []string{"Delete 2 for PoolDeletion", "Delete 1 for PoolDeletion", "Delete 0 for PoolDeletion"}},
	} {
		t.Run(what, func(t *testing.T) {
			pool := newPool(3, 9, c.pool...)
			if slices.ContainsFunc(c.machines, func(m *clusterv1.Machine) bool { return m == nil }) {
				t.Fatal("no such machine")
			}
			s := snapshot(pool, c.machines...)
			hasAgents(c.agents...)(&s)
			s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
			if c.edit != nil {
				c.edit(&s)
			}
			mustReplace(t, s, c.reason, c.want)
		})
	}
}

// mustReplace checks which machines a plan has give way and made, what has to wait, and that something is said of that.
func mustReplace(t *testing.T, s Snapshot, reason string, want []string) {
	t.Helper()
	result := Plan(s)
	if diff := cmp.Diff(want, replacing(result)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", reason, diff)
	}
	for _, d := range result.Deferred {
		if d.Message == "" {
			t.Errorf("nothing says what it waits for: %+v", d)
		}
	}
}

// TestReplaceChangesNoNodeInPlace, but machines without one.
func TestReplaceChangesNoNodeInPlace(t *testing.T) {
	for what, c := range map[string]struct {
		reason  string
		machine *clusterv1.Machine
		agent   *v1alpha1.NodeAgent
		want    []string
	}{
		"a node":                  {"another is made in its place", ofOld(0), runs(0, "r0"), []string{"Create 9 for Rollout", "1 Delete: ReplacementFirst"}},
		"no node yet":             {"it disturbs nobody", newMachine(0, outdated, unready), runs(0, "r0", unstarted), []string{"Update 0 for Rollout"}},
		"somebody told it so":     {"it does not run what it was made from any more", newMachine(0, joined), runs(0, "r0"), []string{"Create 9 for Rollout", "1 Delete: ReplacementFirst"}},
		"it was changed in place": {"under another strategy: it runs the template", ofOld(0), runs(0, "r1"), []string{}},
	} {
		s := snapshot(newPool(1, 9, replaces), c.machine)
		hasAgents(c.agent)(&s)
		if diff := cmp.Diff(c.want, replacing(Plan(s))); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", what, c.reason, diff)
		}
	}
}

// TestAReplacementThatDoesNotComeUpIsSaid, with its own words, and holds all others.
func TestAReplacementThatDoesNotComeUpIsSaid(t *testing.T) {
	infrastructure := func(reason, message string) func(*clusterv1.Machine) {
		return withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, message, reason)
	}
	for what, c := range map[string]struct {
		edit  func(*clusterv1.Machine)
		words []string
	}{
		"it is coming":   {func(*clusterv1.Machine) {}, []string{"1 is to be replaced", newMachine(3).Name + " has not joined yet"}},
		"it fails":       {infrastructure("BootFailed", "the disk is full"), []string{newMachine(3).Name + " is not ready: the disk is full"}},
		"no Host":        {infrastructure(v1alpha1.ReasonNoHost, "No Host is free: 3 are claimed."), []string{"has no Host: No Host is free: 3 are claimed.", "set spec.rollout.maxSurge to 0"}},
		"one is leaving": {leaving, []string{newMachine(3).Name + " is drained and deleted"}},
	} {
		s := snapshot(newPool(1, 9), ofOld(0), newMachine(3, unready, c.edit))
		hasAgents(runs(0, "r0"), runs(3, "r1", unstarted))(&s)
		s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
		status, _ := reportOf(s, Outcome{})
		because, message := messageOf(status, v1alpha1.ReconcilingCondition)
		if because != v1alpha1.ReasonUpdating {
			t.Errorf("%s: it is %s: %s", what, because, message)
		}
		for _, words := range c.words {
			if !strings.Contains(message, words) {
				t.Errorf("%s: %q does not say %q", what, message, words)
			}
		}
	}
}

// TestASurgeIsNoScalingDown, nor are machines that drain for it.
func TestASurgeIsNoScalingDown(t *testing.T) {
	s := snapshot(newPool(2, 9), ofOld(0), ofOld(1, leaving), newMachine(3, joined), newMachine(4, joined))
	hasAgents(runs(0, "r0"), runs(3, "r1"), runs(4, "r1"))(&s)
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
	status, _ := reportOf(s, Outcome{})
	if because, message := messageOf(status, v1alpha1.ReconcilingCondition); because != v1alpha1.ReasonUpdating {
		t.Errorf("it is %s: %s", because, message)
	}
	if got := []int32{*status.Replicas, *status.ReadyReplicas, *status.UpdatedReplicas, *status.UnavailableReplicas}; !slices.Equal(got, []int32{3, 3, 2, 0}) {
		t.Errorf("its counters are %v", got)
	}
	s = snapshot(newPool(2, 9), newMachine(1, joined), newMachine(2, joined), ofOld(0, leaving))
	hasAgents(runs(1, "r1"), runs(2, "r1"))(&s)
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
	status, _ = reportOf(s, Outcome{})
	if because, message := messageOf(status, v1alpha1.ReconcilingCondition); because != v1alpha1.ReasonUpdating || !strings.Contains(message, newMachine(0).Name+" is drained and deleted") {
		t.Errorf("when the last drains it is %s: %s", because, message)
	}
}

// TestThePoolIsPlannedAgainWhenAMachineHasBeenReadyForLongEnough, of which no event tells.
func TestThePoolIsPlannedAgainWhenAMachineHasBeenReadyForLongEnough(t *testing.T) {
	s := snapshot(newPool(1, 9, rests(60)), ofOld(0), newMachine(3, joined, readyFor(20*time.Second)))
	hasAgents(runs(0, "r0"), runs(3, "r1"))(&s)
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
	if result := Plan(s); result.RequeueAfter != 40*time.Second {
		t.Errorf("it is planned again after %s", result.RequeueAfter)
	}
}

// TestTheOthersAreReplacedWhenTheCanaryHasSoaked, of which no event tells either.
func TestTheOthersAreReplacedWhenTheCanaryHasSoaked(t *testing.T) {
	s := snapshot(newPool(2, 9, hasCanary(1, 60), rollsOut("r1", v1alpha1.RolloutPhaseSoaking, 20*time.Second)), ofOld(0), newMachine(3, joined))
	hasAgents(runs(0, "r0"), runs(3, "r1"))(&s)
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
	if result := Plan(s); result.RequeueAfter != 40*time.Second {
		t.Errorf("it is planned again after %s", result.RequeueAfter)
	}
}

// TestASurgeThatIsRefusedIsCounted, although the pool lacks no machine.
func TestASurgeThatIsRefusedIsCounted(t *testing.T) {
	s := snapshot(newPool(1, 9), ofOld(0))
	hasAgents(runs(0, "r0"))(&s)
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
	result := Plan(s)
	status, _ := Report(s, result, Outcome{Failures: []Failure{{Name: result.Of(Create)[0].Name, Message: "exceeded quota"}}})
	if because, message := messageOf(status, v1alpha1.StalledCondition); because != v1alpha1.ReasonMachineCreateFailed || !strings.HasPrefix(message, "1 machine could not be made") {
		t.Errorf("it is %s: %s", because, message)
	}
	if want := (v1alpha1.DeferredAction{Action: "Create", Count: 1, Reason: DeferredRefused, Message: "exceeded quota"}); !slices.Contains(status.Disruption.Deferred, want) {
		t.Errorf("deferred are %+v", status.Disruption.Deferred)
	}
}
