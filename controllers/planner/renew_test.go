package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// expires has a pool's machines become no older than that.
func expires(after time.Duration) func(*v1alpha1.NodePool) {
	seconds := int32(after / time.Second) //nolint:gosec // small
	return func(p *v1alpha1.NodePool) { p.Spec.Disruption.ExpireAfterSeconds = &seconds }
}

// aged is so old.
func aged(age time.Duration) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) { m.CreationTimestamp = metav1.NewTime(epoch.Add(time.Hour - age)) }
}

var young = aged(time.Minute)

func TestMachinesExpire(t *testing.T) {
	ofNow := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){joined}, edits...)...)
	}
	three, threeAgents := ms(ofNow(0), ofNow(1), ofNow(2)), as(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))
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
		"never":                    {"nobody says how old they may become", edits(expires(0)), three, threeAgents, nil, []string{}},
		"not yet":                  {"none is old enough", edits(expires(80 * time.Minute)), three, threeAgents, nil, []string{}},
		"one has":                  {"the others stay", nil, ms(ofNow(0), ofNow(1, young), ofNow(2, young)), threeAgents, nil, []string{"Create 9 for Expiry", "1 Delete: ReplacementFirst"}},
		"all have":                 {"another one is made first", nil, three, threeAgents, nil, []string{"Create 9 for Expiry", "3 Delete: ReplacementFirst"}},
		"two at a time":            {"as many as the surge has", edits(maySurge("2")), three, threeAgents, nil, []string{"Create 9 for Expiry", "Create 10 for Expiry", "3 Delete: ReplacementFirst"}},
		"it has not joined":        {"none goes, and no other is made", nil, with(newMachine(3, young, unready)), agents(coming), nil, []string{"3 Delete: ReplacementFirst"}},
		"it is not well":           {"nor then: whatever it is that keeps it ill would eat the pool", nil, with(ofNow(3, young, unready)), agents(fresh), nil, []string{"3 Delete: ReplacementFirst"}},
		"it is well":               {"the oldest goes", nil, with(ofNow(3, young)), agents(fresh), nil, []string{"Delete 0 for Expiry", "2 Delete: ReplacementFirst"}},
		"not for long enough":      {"minReadySeconds", edits(rests(60)), with(ofNow(3, young, readyFor(time.Second))), agents(fresh), nil, []string{"3 Delete: ReplacementFirst"}},
		"it expires before well":   {"it goes, and nobody for it", nil, with(ofNow(3, unready, aged(31*time.Minute))), agents(fresh), nil, []string{"Delete 3 for Expiry", "3 Delete: ReplacementFirst"}},
		"one goes":                 {"the next is made when it is gone", nil, ms(ofNow(0, leaving), ofNow(1), ofNow(2), ofNow(3, young)), agents(fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"the last":                 {"it goes", nil, ms(ofNow(0), ofNow(1, young), ofNow(2, young), ofNow(3, young)), agents(fresh), nil, []string{"Delete 0 for Expiry"}},
		"a user deletes one":       {"the one that was made takes its place", nil, ms(ofNow(0), ofNow(1), ofNow(2, leaving), ofNow(3, young)), agents(fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"another is ill":           {"the pool has one node less, and is to lose no second", nil, ms(ofNow(0), ofNow(1), ofNow(2, young, unready), ofNow(3, young)), agents(fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"it is ill itself":         {"nobody misses it, so that it goes first", nil, ms(ofNow(0), ofNow(1), ofNow(2, unready), ofNow(3, young)), agents(fresh), nil, []string{"Delete 2 for Expiry", "2 Delete: ReplacementFirst"}},
		"it is silent":             {"it is passed over, and none goes while it is away", nil, ms(ofNow(0), ofNow(1), ofNow(2, silent), ofNow(3, young)), agents(fresh), nil, []string{"2 Delete: ReplacementFirst"}},
		"all are silent":           {"that is no reason to make any", nil, ms(ofNow(0, silent), ofNow(1, silent), ofNow(2, silent)), threeAgents, nil, []string{}},
		"none has a node":          {"their age is nobody's fault", nil, ms(newMachine(0, unready), newMachine(1, unready), newMachine(2, unready)), as(runs(0, "r1", unstarted), runs(1, "r1", unstarted), runs(2, "r1", unstarted)), nil, []string{}},
		"without a NodeAgent":      {"it is made anew first", nil, three, nil, nil, []string{}},
		"left alone":               {"somebody says so", nil, ms(ofNow(0, leftAlone("a batch")), ofNow(1, young), ofNow(2, young)), threeAgents, nil, []string{"1 Delete: DoNotDisrupt"}},
		"left alone, one of them":  {"the others go on", nil, ms(ofNow(0, leftAlone("a batch")), ofNow(1), ofNow(2, young), ofNow(3, young)), agents(fresh), nil, []string{"Delete 1 for Expiry", "1 Delete: DoNotDisrupt"}},
		"held to be looked at":     {"it is ill, and somebody wants to know why", nil, ms(ofNow(0, unready, annotated(v1alpha1.ForensicHoldAnnotation)), ofNow(1, young), ofNow(2, young)), threeAgents, nil, []string{"1 Delete: RepairHeld"}},
		"held and well":            {"there is nothing to look at", nil, ms(ofNow(0, annotated(v1alpha1.ForensicHoldAnnotation)), ofNow(1, young), ofNow(2, young)), threeAgents, nil, []string{"Create 9 for Expiry", "1 Delete: ReplacementFirst"}},
		"scaled down":              {"one goes that is to go anyway, and none is made for it", edits(wants(2)), three, threeAgents, nil, []string{"Delete 0 for Expiry", "2 Delete: ReplacementFirst"}},
		"scaled down, none may go": {"that is the user's word, which no budget of this holds", edits(wants(2), hasBudgets(budgetOf("0", v1alpha1.DisruptionExpiry))), three, threeAgents, nil, []string{"Delete 2 for ScaleDown", "2 Delete: ReplacementFirst"}},
		"scaled down meanwhile":    {"one goes at once, the surge stays", edits(wants(2)), with(ofNow(3, young)), agents(fresh), nil, []string{"Delete 3 for ScaleDown", "Delete 0 for Expiry", "2 Delete: ReplacementFirst"}},
		"scaled up meanwhile":      {"the new ones are made beside the surge", edits(wants(4)), three, threeAgents, nil, []string{"Create 9 for ScaleUp", "Create 10 for Expiry", "3 Delete: ReplacementFirst"}},
		"it is taken back":         {"the one that was made is one too many", edits(expires(0)), with(ofNow(3, young)), agents(fresh), nil, []string{"Delete 3 for ScaleDown"}},
		"without a surge":          {"one goes first", edits(maySurge("0")), three, threeAgents, nil, []string{"Delete 0 for Expiry", "2 Delete: OneAtATime"}},
		"one is gone":              {"another is made, by the pool's own rule", edits(maySurge("0")), ms(ofNow(1), ofNow(2)), threeAgents, nil, []string{"Create 9 for ScaleUp", "2 Delete: OneAtATime"}},
		"it is not back":           {"the next waits", edits(maySurge("0")), ms(ofNow(1), ofNow(2), newMachine(3, young, unready)), agents(coming), nil, []string{"2 Delete: OneAtATime"}},
		"two may be unavailable":   {"two go first", edits(maySurge("0"), mayMiss("2")), three, threeAgents, nil, []string{"Delete 0 for Expiry", "Delete 1 for Expiry", "1 Delete: MaxUnavailable"}},
		"refused":                  {"none goes that nothing could replace", edits(maySurge("0")), three, threeAgents, func(s *Snapshot) { s.Refused = &Refusal{Message: "quota", Until: s.Now.Add(time.Minute)} }, []string{"3 Delete: Refused"}},
		"paused":                   {"nothing is done", edits(isPaused), three, threeAgents, nil, []string{"1 Create: Paused", "3 Delete: Paused"}},
		"the fleet is stopped":     {"none is made that nothing lacks", nil, three, threeAgents, func(s *Snapshot) { s.Stopped = "fire" }, []string{"1 Create: FleetStopped", "3 Delete: FleetStopped"}},
		"stalled":                  {"none could be made in its place", edits(maySurge("0")), three, threeAgents, func(s *Snapshot) { s.Problems = []Problem{{Reason: "X", Message: "x"}} }, []string{"3 Delete: Stalled"}},
		"the template is unknown":  {"nor then", nil, three, threeAgents, func(s *Snapshot) { s.Revision = "" }, []string{"1 Create: Stalled", "3 Delete: Stalled"}},
		"a budget of none":         {"nothing begins", edits(hasBudgets(budgetOf("0"))), three, threeAgents, nil, []string{"1 Create: DisruptionBudget", "3 Delete: ReplacementFirst"}},
		"a budget of its own":      {"it is about this", edits(hasBudgets(budgetOf("0", v1alpha1.DisruptionExpiry))), three, threeAgents, nil, []string{"1 Create: DisruptionBudget", "3 Delete: ReplacementFirst"}},
		"a budget of another's":    {"it is not", edits(hasBudgets(budgetOf("0", v1alpha1.DisruptionUpdate))), three, threeAgents, nil, []string{"Create 9 for Expiry", "3 Delete: ReplacementFirst"}},
		"a change in place":        {"it goes first, and what was made is given it too", nil, ms(ofNow(0), ofNow(1), ofNow(2), ofNow(3, young)), as(runs(0, "r1"), runs(1, "r1"), runs(2, "r0"), fresh), nil, []string{"Update 2 for Rollout", "2 Delete: RolloutFirst"}},
		"a change under way":       {"it comes to its end first", edits(isUpdating(2)), ms(ofNow(0), ofNow(1), ofNow(2, young), ofNow(3, young)), as(runs(0, "r1"), runs(1, "r1"), runs(2, "r1", given("r1", v1alpha1.PhaseProbation)), fresh), nil, []string{"2 Delete: RolloutFirst"}},
		"one of the old template":  {"it goes first", nil, ms(ofNow(0), ofOld(1), ofNow(2), ofNow(3, young)), as(runs(0, "r1"), runs(1, "r0"), runs(2, "r1"), fresh), func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }, []string{"Delete 1 for Rollout", "2 Delete: RolloutFirst"}},
		"the one that was made":    {"it is due itself, and not well: the others wait for it", nil, ms(ofOld(0), ofNow(1, young), ofNow(2, young), ofNow(3, unready)), as(runs(0, "r0"), runs(1, "r1"), runs(2, "r1"), fresh), func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }, []string{"1 Delete: ReplacementFirst", "1 Delete: RolloutFirst"}},
		"one that is passed over":  {"it has no change that could go first", nil, ms(ofNow(0), ofNow(1, young), ofNow(2, young, leftAlone(""))), as(runs(0, "r1"), runs(1, "r1"), runs(2, "r0")), nil, []string{"Create 9 for Expiry", "1 Update: DoNotDisrupt", "1 Delete: ReplacementFirst"}},
		"a machine went back":      {"nobody is given what failed", nil, ms(ofNow(0), ofNow(1), ofNow(2)), as(runs(0, "r1"), runs(1, "r1"), runs(2, "r0", wentBack("r1"))), nil, []string{"1 Create: RolledBack", "3 Delete: RolledBack"}},
		"a cache is no ground":     {"for the number of machines", nil, with(ofNow(3, young)), agents(fresh), func(s *Snapshot) { s.Live = false }, []string{"1 Delete: CacheUnconfirmed", "2 Delete: ReplacementFirst"}},
		"nor is it for which goes": {"somebody may have told it something else", nil, with(ofNow(3, young)), agents(fresh), func(s *Snapshot) { s.Confirmed = false }, []string{"1 Delete: CacheUnconfirmed", "2 Delete: ReplacementFirst"}},
		"the pool goes":            {"all do", edits(isDeleting), three, threeAgents, nil, []string{"Delete 2 for PoolDeletion", "Delete 1 for PoolDeletion", "Delete 0 for PoolDeletion"}},
	} {
		t.Run(what, func(t *testing.T) {
			pool := newPool(3, 9, append(edits(expires(30*time.Minute)), c.pool...)...)
			s := snapshot(pool, c.machines...)
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			mustReplace(t, s, c.reason, c.want)
		})
	}
}

// TestMachinesMadeAtOnceDoNotExpireAtOnce, but none later than the pool says, and each always at the same time.
func TestMachinesMadeAtOnceDoNotExpireAtOnce(t *testing.T) {
	f := newFleet(snapshot(newPool(0, 0, expires(1000*time.Second))))
	var tenths [10]int
	for i := range 1000 {
		m := &machine{Machine: newMachine(0, bornAtEpoch)}
		m.UID = types.UID(fmt.Sprintf("%08x-9f2d-4d0c-8f3e-6f1b2a7c9d5e", i*2654435761))
		at := f.expiresAt(m).Sub(epoch)
		if at != f.expiresAt(m).Sub(epoch) || at > 1000*time.Second || at < 900*time.Second {
			t.Fatalf("%s expires after %s", m.UID, at)
		}
		tenths[min(int((1000*time.Second-at)/(10*time.Second)), 9)]++
	}
	if slices.Min(tenths[:]) < 50 {
		t.Errorf("of 1000 machines there expire in each tenth of the last 100 seconds, the last first: %v", tenths)
	}
}

// TestThePoolIsPlannedAgainWhenTheNextExpires, of which no event tells.
func TestThePoolIsPlannedAgainWhenTheNextExpires(t *testing.T) {
	s := snapshot(newPool(2, 9, expires(80*time.Minute)), newMachine(0, joined), newMachine(1, joined))
	hasAgents(runs(0, "r1"), runs(1, "r1"))(&s)
	f := newFleet(s)
	first := f.expiresAt(f.active[0])
	if second := f.expiresAt(f.active[1]); second.Before(first) {
		first = second
	}
	after := Plan(s).RequeueAfter
	if want := first.Sub(s.Now); after != want || want <= 0 {
		t.Fatalf("it is planned again after %s, want %s", after, want)
	}
	s.Now = s.Now.Add(after)
	if got := replacing(Plan(s)); !slices.Contains(got, "Create 9 for Expiry") {
		t.Errorf("then it does %v", got)
	}
	if isDeleting(s.Pool); Plan(s).RequeueAfter != 0 {
		t.Error("a pool that goes waits for its machines to expire")
	}
}

// TestAPoolSaysThatItsMachinesExpire while that is under way. While they only wait for it the pool is what it is to be.
func TestAPoolSaysThatItsMachinesExpire(t *testing.T) {
	old, next, made := newMachine(0, joined), newMachine(1, joined), newMachine(3, joined, young)
	for what, c := range map[string]struct {
		edits    []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		outcome  Outcome
		reason   string
		words    []string
	}{
		"a budget holds them":     {edits(hasBudgets(budgetOf("0"))), ms(old, next), Outcome{}, v1alpha1.ReasonAllReplicasReady, nil},
		"another is made":         {nil, ms(old, next, newMachine(3, unready, young)), Outcome{}, v1alpha1.ReasonReplacing, []string{"2 of 2 machines are ready", "2 are to be replaced", made.Name + " has not joined yet"}},
		"one goes at this moment": {nil, ms(old, next, made), Outcome{Deleted: []Action{{Verb: Delete, Name: old.Name, Cause: Expiry, Class: disruption.Replace}}}, v1alpha1.ReasonReplacing, []string{old.Name + " is drained and deleted"}},
		"one drains":              {nil, ms(newMachine(0, joined, leaving), next, made), Outcome{}, v1alpha1.ReasonReplacing, []string{"1 is to be replaced", old.Name + " is drained and deleted"}},
		"the last drains":         {nil, ms(newMachine(0, joined, leaving), newMachine(1, joined, young), made), Outcome{}, v1alpha1.ReasonReplacing, []string{old.Name + " is drained and deleted"}},
		"it is over":              {nil, ms(newMachine(1, joined, young), made), Outcome{}, v1alpha1.ReasonAllReplicasReady, nil},
	} {
		s := snapshot(newPool(2, 9, append(edits(expires(30*time.Minute)), c.edits...)...), c.machines...)
		hasAgents(runs(0, "r1"), runs(1, "r1"), runs(3, "r1"))(&s)
		if what == "another is made" {
			s.Agents[made.Name] = runs(3, "r1", unstarted)
		}
		status, _ := reportOf(s, c.outcome)
		ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition)
		if ready.Reason != c.reason {
			t.Errorf("%s: it is %s: %s", what, ready.Reason, ready.Message)
		}
		for _, words := range c.words {
			if !strings.Contains(ready.Message, words) {
				t.Errorf("%s: %q does not say %q", what, ready.Message, words)
			}
		}
		if because, message := messageOf(status, v1alpha1.RolloutCompleteCondition); because != string(v1alpha1.RolloutPhaseComplete) && what != "another is made" {
			t.Errorf("%s: its rollout is %s: %s", what, because, message)
		}
	}
}

// TestAFrozenRepairLetsNoMachineExpire: what keeps machines from being well would keep others from it.
func TestAFrozenRepairLetsNoMachineExpire(t *testing.T) {
	s := snapshot(newPool(3, 9, expires(30*time.Minute)), newMachine(0, joined, sick(10)), newMachine(1, joined, sick(10)), newMachine(2, joined))
	s.Pool.Spec.Repair = simulatedRepair("1", anew)
	hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))(&s)
	if got := replacing(Plan(s)); !slices.Contains(got, "1 Create: RepairFrozen") || !slices.Contains(got, "3 Delete: RepairFrozen") {
		t.Errorf("it does %v", got)
	}
}

// TestWhyAMachineExpiresIsTold, and when it will.
func TestWhyAMachineExpiresIsTold(t *testing.T) {
	s := snapshot(newPool(3, 9, expires(30*time.Minute)), newMachine(0, joined), newMachine(1, joined, young), newMachine(2, joined, leftAlone("a batch")))
	hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))(&s)
	f := newFleet(s)
	at := func(i int) string { return f.expiresAt(f.active[i]).Format(time.RFC3339) }
	want := []Standing{
		{s.Machines[0].Name, "is to be replaced: it expired at " + at(0) + ", by spec.disruption.expireAfterSeconds"},
		{s.Machines[1].Name, "runs revision r1, and expires at " + at(1)},
		{s.Machines[2].Name, "is left as it is: it expired at " + at(2) + ", by spec.disruption.expireAfterSeconds, but Machine " + s.Machines[2].Name + " is annotated fleet.drover.dev/do-not-disrupt (a batch)"},
	}
	if diff := cmp.Diff(want, Explain(s).Machines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, a := range Plan(s).Of(Create) {
		if want := s.Machines[0].Name + " is to be replaced: it expired at "; !strings.HasPrefix(a.Reason, want) {
			t.Errorf("another is made as %q, want %q", a.Reason, want)
		}
	}
}

// TestOneThatIsRepairedGoesBeforeOthersThatExpired: it is one of those that may be unavailable, or that others are there for.
func TestOneThatIsRepairedGoesBeforeOthersThatExpired(t *testing.T) {
	for what, c := range map[string]struct {
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		want     []string
	}{
		"without a surge": {edits(maySurge("0"), mayMiss("2")), nil, []string{"Delete 0 for Repair", "Delete 1 for Expiry", "1 Delete: MaxUnavailable"}},
		"with one":        {edits(maySurge("1"), wants(4)), ms(newMachine(3, joined, young)), []string{"Delete 0 for Repair", "Create 9 for Expiry", "2 Delete: ReplacementFirst"}},
	} {
		s := snapshot(newPool(3, 9, append(edits(expires(30*time.Minute)), c.pool...)...), append(ms(newMachine(0, joined, sick(10)), newMachine(1, joined), newMachine(2, joined)), c.machines...)...)
		s.Pool.Spec.Repair = simulatedRepair("60%", anew)
		s.Pool.Status.Repair = &v1alpha1.NodePoolRepairStatus{WatchedSince: metav1.NewTime(epoch)}
		hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"), runs(3, "r1"))(&s)
		if diff := cmp.Diff(c.want, replacing(Plan(s))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// TestOneThatIsMendedIsOneOfThoseThatAreUnavailable: it is due as well, and stays for as long as its agent is at it.
func TestOneThatIsMendedIsOneOfThoseThatAreUnavailable(t *testing.T) {
	s := snapshot(newPool(3, 9, expires(30*time.Minute), maySurge("0"), mayMiss("1")), newMachine(0, joined, sick(10)), newMachine(1, joined), newMachine(2, joined))
	s.Pool.Spec.Repair = simulatedRepair("60%", restarts)
	s.Pool.Status.Repair = &v1alpha1.NodePoolRepairStatus{WatchedSince: metav1.NewTime(epoch)}
	hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))(&s)
	if plan := Plan(s); len(plan.Of(Treat)) != 1 || len(plan.Of(Delete)) > 0 {
		t.Errorf("it does %v, want machine 0 mended and no other one deleted", plan.Actions)
	}
}
