package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// runs is the NodeAgent of a machine that runs a revision, which has proved itself.
func runs(ordinal int64, revision string, edits ...func(*v1alpha1.NodeAgent)) *v1alpha1.NodeAgent {
	m := newMachine(ordinal)
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Generation: 4, Labels: map[string]string{v1alpha1.MachineUIDLabel: string(m.UID)}}}
	agent.Spec.Revision, agent.Spec.Version = revision, "v1.36.5"
	agent.Status = v1alpha1.NodeAgentStatus{ObservedGeneration: 4, Phase: v1alpha1.PhaseCommitted, CurrentRevision: revision, PreviousRevision: "r-1"}
	for _, edit := range edits {
		edit(agent)
	}
	return agent
}

// given says that the agent was told to run a revision and is in a phase of that.
func given(revision string, phase v1alpha1.NodeAgentPhase) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) { a.Spec.Revision, a.Status.Phase = revision, phase }
}

func wentBack(from string) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) {
		given(from, v1alpha1.PhaseRolledBack)(a)
		a.Status.FailedRevision = &v1alpha1.FailedRevision{
			Revision: from, Reason: v1alpha1.ReasonExited, Component: v1alpha1.ComponentKubelet, Message: "kubelet ended 3 times",
			Exit: &v1alpha1.ComponentExit{LogTail: "I0101 up\nE0101 invalid Node Allocatable configuration"},
		}
	}
}

func unheard(a *v1alpha1.NodeAgent)   { a.Status.ObservedGeneration-- }
func unstarted(a *v1alpha1.NodeAgent) { a.Status = v1alpha1.NodeAgentStatus{} }

// onlyTried says that the agent is on probation with the first that it ever ran.
func onlyTried(a *v1alpha1.NodeAgent) {
	a.Status.Phase, a.Status.PreviousRevision = v1alpha1.PhaseProbation, ""
}

func silent(m *clusterv1.Machine) {
	unready(m)
	withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionUnknown, "", v1alpha1.ReasonNotReported)(m)
}

func neverReported(m *clusterv1.Machine) {
	unready(m)
	withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse, "the agent has not reported within 15m0s", v1alpha1.ReasonNotReported)(m)
}

func hasAgents(agents ...*v1alpha1.NodeAgent) func(*Snapshot) {
	return func(s *Snapshot) {
		s.Agents = map[string]*v1alpha1.NodeAgent{}
		for _, a := range agents {
			s.Agents[a.Name] = a
		}
		s.Contents = map[string]Content{}
		for i, revision := range []string{"r-1", "r0", "r1"} {
			spec := &v1alpha1.NodeAgentSpec{Revision: revision, Version: "v1.36.5"}
			spec.Kubelet.MaxPods = ptr.To(int32(100 + i)) //nolint:gosec // small
			s.Contents[revision] = Content{Spec: spec}
		}
		s.Confirmed = true
	}
}

func isUpdating(ordinals ...int64) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		for _, ordinal := range ordinals {
			p.Status.Updating = append(p.Status.Updating, newMachine(ordinal).Name)
		}
	}
}

func TestUpdates(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated}, edits...)...)
	}
	cases := map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		want     []int64
		deferred string
	}{
		"nothing changed":                   {reason: "an edit that does not change the template writes nothing", machines: ms(made(0), made(1)), agents: as(runs(0, "r1"), runs(1, "r1"))},
		"the template changed":              {reason: "the first by ordinal is changed, the other waits", machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), want: []int64{0}, deferred: DeferredRollout},
		"the first runs it":                 {reason: "it is well, so the next one follows", machines: ms(made(0), made(1)), agents: as(runs(0, "r1"), runs(1, "r0")), want: []int64{1}},
		"the first has not heard of it":     {reason: "a status about an older spec is no answer", machines: ms(made(0), made(1)), agents: as(runs(0, "r0", given("r1", v1alpha1.PhaseCommitted), unheard), runs(1, "r0")), deferred: DeferredRollout},
		"the first is on probation":         {reason: "it has not proved itself yet", machines: ms(made(0), made(1)), agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0")), deferred: DeferredRollout},
		"the first runs it and is unready":  {reason: "committed is not well: the Machine says otherwise", machines: ms(made(0, unready), made(1)), agents: as(runs(0, "r1"), runs(1, "r0")), deferred: DeferredRollout},
		"the first runs it, not available":  {reason: "ready for a moment is not available", machines: ms(made(0, withCondition(clusterv1.MachineAvailableCondition, metav1.ConditionFalse, "")), made(1)), agents: as(runs(0, "r1"), runs(1, "r0")), deferred: DeferredRollout},
		"one went back":                     {reason: "nobody else is given what did not prove itself", machines: ms(made(0), made(1)), agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0")), deferred: DeferredRolledBack},
		"one went back, one never joined":   {reason: "a machine without a Node is not given it either", machines: ms(made(0), made(1, unready)), agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0", unstarted)), deferred: DeferredRolledBack},
		"one went back from another":        {reason: "the template is another one since: the node that went back is given it, and first, as its change had begun", pool: edits(isUpdating(1)), machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0", wentBack("r-1"))), want: []int64{1}, deferred: DeferredRollout},
		"edited while one changes":          {reason: "the one under way turns to the newest; nobody else begins", pool: edits(isUpdating(1)), machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r-1", given("r0", v1alpha1.PhaseProbation))), want: []int64{1}, deferred: DeferredRollout},
		"begun and not written":             {reason: "a manager died after it had said which one; that one it is", pool: edits(isUpdating(1)), machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), want: []int64{1}, deferred: DeferredRollout},
		"two had begun":                     {reason: "a status was lost in between, and a cordon told; one of them after the other", pool: edits(isUpdating(1)), machines: ms(made(0), made(1), made(2)), agents: as(runs(0, "r0"), runs(1, "r0"), runs(2, "r0")), edit: func(s *Snapshot) { s.Cordoned = map[string]bool{newMachine(2).Name: true} }, want: []int64{1}, deferred: DeferredRollout},
		"never joined":                      {reason: "machines without a Node disturb nobody, whatever else goes on", machines: ms(made(0), made(1), made(2, unready), made(3, unready)), agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0"), runs(2, "r0", unstarted), runs(3, "r0", unstarted)), want: []int64{2, 3}, deferred: DeferredRollout},
		"coming up with the target":         {reason: "a new machine on its first probation is nobody's change", machines: ms(made(0), newMachine(1, unready)), agents: as(runs(0, "r0"), runs(1, "r1", given("r1", v1alpha1.PhaseProbation), func(a *v1alpha1.NodeAgent) { a.Status.PreviousRevision = "" })), want: []int64{0}},
		"told before it had a Node":         {reason: "two do not come up with the first that they ever ran, and the one whose change had begun waits for them: the first of them is given its cure", pool: edits(isUpdating(0)), machines: ms(made(0), made(1, unready), made(2, unready)), agents: as(runs(0, "r0", wentBack("r-1")), runs(1, "r-1", onlyTried), runs(2, "r-1", onlyTried)), want: []int64{1}, deferred: DeferredRollout},
		"told before it had one, a canary":  {reason: "that is the one whose change had begun, and waits for them all the same", pool: edits(isUpdating(0), hasCanary(1, 60)), machines: ms(made(0), made(1, unready), made(2, unready)), agents: as(runs(0, "r0", wentBack("r-1")), runs(1, "r-1", onlyTried), runs(2, "r-1", onlyTried)), want: []int64{1}, deferred: DeferredRollout},
		"told, and another one changes":     {reason: "one that never worked waits for a node that is changed", pool: edits(isUpdating(0)), machines: ms(made(0), made(1, unready)), agents: as(runs(0, "r0", given("r1", v1alpha1.PhaseProbation)), runs(1, "r-1", onlyTried)), deferred: DeferredRollout},
		"one is broken":                     {reason: "it goes first: nobody misses it, and the edit may be its cure", machines: ms(made(0), made(1, unready)), agents: as(runs(0, "r0"), runs(1, "r0")), want: []int64{1}, deferred: DeferredRollout},
		"one is silent":                     {reason: "it would take the change some time; it is passed over, and nobody waits", machines: ms(made(0, silent), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), want: []int64{1}},
		"all are silent":                    {reason: "silence that is shared is no time for a change", machines: ms(made(0, silent), made(1, silent)), agents: as(runs(0, "r0"), runs(1, "r0"))},
		"one never reported":                {reason: "its NodeAgent was made anew, and nothing is heard of it: it is passed over as well", machines: ms(made(0, joined, neverReported), made(1)), agents: as(runs(0, "r0", unstarted, func(a *v1alpha1.NodeAgent) { a.Generation = 1 }), runs(1, "r0")), want: []int64{1}},
		"never reported, never joined":      {reason: "it disturbs nobody, and the edit may be its cure", machines: ms(made(0, neverReported), made(1)), agents: as(runs(0, "r0", unstarted), runs(1, "r0")), want: []int64{0, 1}},
		"silent since it was given it":      {reason: "it may take the change at any time", machines: ms(made(0, silent), made(1)), agents: as(runs(0, "r0", given("r1", v1alpha1.PhaseCommitted), unheard), runs(1, "r0")), deferred: DeferredRollout},
		"silent, and its change taken back": {reason: "it may have heard of the change, and not of that it was taken back", pool: edits(isUpdating(0)), machines: ms(made(0, silent), made(1)), agents: as(runs(0, "r1", unheard), runs(1, "r0")), deferred: DeferredRollout},
		"silent, and a fact is new":         {reason: "that it has not heard of a new authority is nobody's change", machines: ms(made(0, silent), made(1)), agents: as(runs(0, "r0", unheard), runs(1, "r0")), want: []int64{1}},
		"one is being deleted":              {reason: "it is drained, by us or by somebody: one at a time", pool: edits(wants(1)), machines: ms(made(0), made(1, leaving, joined)), agents: as(runs(0, "r0"), runs(1, "r0")), deferred: DeferredRollout},
		"too many machines":                 {reason: "the one to go is not changed, and no other meanwhile", pool: edits(wants(1)), machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), deferred: DeferredRollout},
		"paused":                            {reason: "a paused pool changes nothing", pool: edits(isPaused), machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), deferred: DeferredPaused},
		"deleting":                          {reason: "nor does one that is being deleted", pool: edits(isDeleting), machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0"))},
		"stalled":                           {reason: "what the template means is not known for sure", machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), edit: func(s *Snapshot) { s.Problems = []Problem{{Reason: v1alpha1.ReasonTemplateNotFound}} }, deferred: DeferredStalled},
		"the cache is behind":               {reason: "what we wrote does not show", machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), edit: func(s *Snapshot) { s.CacheBehind = "a write" }, deferred: DeferredCacheBehind},
		"unconfirmed":                       {reason: "a cache is no ground to begin on", machines: ms(made(0), made(1)), agents: as(runs(0, "r0"), runs(1, "r0")), edit: func(s *Snapshot) { s.Confirmed = false }, deferred: DeferredUnconfirmed},
		"another infrastructure":            {reason: "no change in place brings it there; the others go on", machines: ms(made(0), newMachine(1, func(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = "r-1" })), agents: as(runs(0, "r0"), runs(1, "r0")), edit: func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }, want: []int64{1}},
		"changed to what cannot be left":    {reason: "the template asks for another infrastructure since: it is changed no more, and has to be well all the same", pool: edits(isUpdating(0)), machines: ms(newMachine(0, joined, unready, func(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = "r-1" }), made(1)), agents: as(runs(0, "r-1"), runs(1, "r0")), edit: func(s *Snapshot) { delete(s.Contents, "r-1") }, deferred: DeferredRollout},
		"another's NodeAgent":               {reason: "it has the name, and is of a machine that is gone", machines: ms(made(0)), agents: as(runs(0, "r0", func(a *v1alpha1.NodeAgent) { a.Labels[v1alpha1.MachineUIDLabel] = "older" }))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pool := newPool(int32(len(c.machines)), 9, c.pool...) //nolint:gosec // a few
			s := snapshot(pool, c.machines...)
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v are given the target, want %v", c.reason, got, c.want)
			}
			deferred := ""
			for _, d := range result.Deferred {
				if d.Verb == Update && deferred == "" {
					deferred = d.Reason
				}
				if d.Verb == Update && d.Message == "" && d.Reason != DeferredStalled {
					t.Errorf("%s: nothing says what it waits for: %+v", c.reason, d)
				}
			}
			if deferred != c.deferred {
				t.Errorf("%s: deferred for %q, want %q", c.reason, deferred, c.deferred)
			}
		})
	}
}

func ms(machines ...*clusterv1.Machine) []*clusterv1.Machine            { return machines }
func as(agents ...*v1alpha1.NodeAgent) []*v1alpha1.NodeAgent            { return agents }
func edits(list ...func(*v1alpha1.NodePool)) []func(*v1alpha1.NodePool) { return list }
func wants(replicas int32) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Replicas = &replicas }
}
func joined(m *clusterv1.Machine) { m.Status.NodeRef.Name = m.Name }
func reportOf(s Snapshot, outcome Outcome) (v1alpha1.NodePoolStatus, []Event) {
	return Report(s, Plan(s), outcome)
}
func messageOf(status v1alpha1.NodePoolStatus, conditionType string) (string, string) {
	c := meta.FindStatusCondition(status.Conditions, conditionType)
	if c == nil || c.Status != metav1.ConditionTrue {
		return "", ""
	}
	return c.Reason, c.Message
}

func TestAnUpdateSaysWhatItDoes(t *testing.T) {
	s := snapshot(newPool(1, 9), newMachine(0, outdated))
	hasAgents(runs(0, "r0"))(&s)
	update := Plan(s).Of(Update)
	if len(update) != 1 || update[0].Class != disruption.Restart || update[0].Revision != "r1" || update[0].UID != newMachine(0).UID ||
		update[0].Reason != "the pool's template changed in kubelet.maxPods, for which kubelet may restart; its pods stay" {
		t.Errorf("got %+v", update)
	}
	s.Contents["r1"].Spec.Version = "v1.37.2"
	if update := Plan(s).Of(Update); len(update) != 1 || update[0].Class != disruption.Drain || !strings.HasSuffix(update[0].Reason, "it is drained first") {
		t.Errorf("another minor version: got %+v", update)
	}
	hasAgents(runs(0, "r0", func(a *v1alpha1.NodeAgent) { given("r-1", v1alpha1.PhaseProbation)(a); a.Spec.Version = "v1.37.2" }))(&s)
	s.Contents["r1"].Spec.Version = "v1.36.5"
	if update := Plan(s).Of(Update); len(update) != 1 || update[0].Class != disruption.Drain {
		t.Errorf("it may run the other minor version already, and goes back: got %+v", update)
	}
}

// TestTheAgentsOwnVersionIsNoChangeOfTheTemplate: it is in a NodeAgent's spec, and stays there.
func TestTheAgentsOwnVersionIsNoChangeOfTheTemplate(t *testing.T) {
	s := snapshot(newPool(1, 9, isUpdating(0)), newMachine(0, outdated))
	hasAgents(runs(0, "r-1", given("r0", v1alpha1.PhaseProbation), func(a *v1alpha1.NodeAgent) {
		a.Spec.Agent = &v1alpha1.AgentRelease{Version: "v0.8.0"}
	}))(&s)
	updates := Plan(s).Of(Update)
	if len(updates) != 1 || !strings.Contains(updates[0].Reason, "kubelet.maxPods") || strings.Contains(updates[0].Reason, "agent") {
		t.Errorf("got %+v, want what the template changed and nothing else", updates)
	}
}

// TestUpdatingIsWrittenBeforeAChangeAndAfterIt is what keeps two managers from changing two nodes.
func TestUpdatingIsWrittenBeforeAChangeAndAfterIt(t *testing.T) {
	first, second := newMachine(0).Name, newMachine(1).Name
	for _, c := range []struct {
		reason  string
		pool    func(*v1alpha1.NodePool)
		agents  []*v1alpha1.NodeAgent
		cached  bool
		want    []string
		confirm []string
		// cordoned is the machine whose Node was cordoned for a change.
		cordoned string
	}{
		{reason: "a change begins", pool: isUpdating(), agents: as(runs(0, "r0"), runs(1, "r0")), want: []string{first}},
		{reason: "on a cache it does not, but would", pool: isUpdating(), agents: as(runs(0, "r0"), runs(1, "r0")), cached: true, confirm: []string{first}},
		{reason: "it goes on", pool: isUpdating(0), agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0")), want: []string{first}},
		{reason: "it goes on, and the cache needs no help to know", pool: isUpdating(0), agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0")), cached: true, want: []string{first}},
		{reason: "it is over, and the next begins", pool: isUpdating(0), agents: as(runs(0, "r1"), runs(1, "r0")), want: []string{second}},
		{reason: "it is over, says a cache", pool: isUpdating(0), agents: as(runs(0, "r1"), runs(1, "r1")), cached: true, want: []string{first}, confirm: []string{first}},
		{reason: "all are over", pool: isUpdating(0), agents: as(runs(0, "r1"), runs(1, "r1"))},
		{reason: "one went back, and stays until the template is another", pool: isUpdating(0), agents: as(runs(0, "r0", wentBack("r1")), runs(1, "r0")), want: []string{first}},
		{reason: "one is gone", pool: isUpdating(7), agents: as(runs(0, "r1"), runs(1, "r1"))},
		{reason: "the status was lost, and a cordon tells which it was", pool: isUpdating(), agents: as(runs(0, "r0"), runs(1, "r0")), cordoned: second, want: []string{second}},
	} {
		s := snapshot(newPool(2, 9, c.pool), newMachine(0, outdated), newMachine(1, outdated))
		s.Cordoned = map[string]bool{c.cordoned: true}
		hasAgents(c.agents...)(&s)
		s.Confirmed = !c.cached
		result := Plan(s)
		if diff := cmp.Diff(c.want, result.Updating); diff != "" && len(c.want)+len(result.Updating) > 0 {
			t.Errorf("%s: (-want +got)\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(c.confirm, result.Confirm); diff != "" {
			t.Errorf("%s: to be confirmed (-want +got)\n%s", c.reason, diff)
		}
	}
}

func TestAPoolTellsOfItsRollout(t *testing.T) {
	first := newMachine(0).Name
	for _, c := range []struct {
		reason                 string
		pool                   func(*v1alpha1.NodePool)
		agents                 []*v1alpha1.NodeAgent
		edit                   func(*Snapshot)
		conditionType, because string
		words                  []string
	}{
		{
			"it begins", isUpdating(), as(runs(0, "r0"), runs(1, "r0")), nil, v1alpha1.ReconcilingCondition, v1alpha1.ReasonUpdating,
			[]string{"0 of 2 machines run revision r1", first + " is given revision r1"},
		},
		{
			"it is under way", isUpdating(0), as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0")), nil, v1alpha1.ReconcilingCondition, v1alpha1.ReasonUpdating,
			[]string{"0 of 2 machines run revision r1", first + " is in Probation with revision r1"},
		},
		{
			"one went back", isUpdating(0), as(runs(0, "r0", wentBack("r1")), runs(1, "r0")), nil, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack,
			[]string{first, "from revision r1 to r0", "kubelet: Exited: kubelet ended 3 times", "invalid Node Allocatable configuration", "change the template"},
		},
		{
			"one went back from other facts of the cluster", isUpdating(), as(runs(0, "r1", wentBack("r1")), runs(1, "r1")), nil, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack,
			[]string{first, "from the facts of the cluster as they are now", "with revision r1", "correct these facts"},
		},
		{
			"one cannot be changed", isUpdating(), as(runs(0, "r0"), runs(1, "r1")), func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} },
			v1alpha1.ReconcilingCondition, v1alpha1.ReasonUpdating, []string{"1 of 2 machines runs revision r1; 1 is to be replaced"},
		},
		{"all run it", isUpdating(), as(runs(0, "r1"), runs(1, "r1")), nil, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady, []string{"2 of 2"}},
	} {
		s := snapshot(newPool(2, 9, c.pool), newMachine(0, outdated), newMachine(1, outdated))
		hasAgents(c.agents...)(&s)
		if c.edit != nil {
			c.edit(&s)
		}
		plan := Plan(s)
		status, events := Report(s, plan, Outcome{Updated: plan.Of(Update)})
		because, message := messageOf(status, c.conditionType)
		if because != c.because {
			t.Errorf("%s: %s is %s, want %s: %+v", c.reason, c.conditionType, because, c.because, status.Conditions)
		}
		for _, words := range c.words {
			if !strings.Contains(message, words) {
				t.Errorf("%s: %q does not say %q", c.reason, message, words)
			}
		}
		if c.conditionType == v1alpha1.StalledCondition && !slices.ContainsFunc(events, func(e Event) bool { return e.Type == corev1.EventTypeWarning && e.Reason == c.because }) {
			t.Errorf("%s: no event tells it: %+v", c.reason, events)
		}
		s.Pool = s.Pool.DeepCopy()
		s.Pool.Status = status
		if _, again := Report(s, Plan(s), Outcome{}); len(again) > 0 {
			t.Errorf("%s: it is told again: %+v", c.reason, again)
		}
	}
}

// TestMachinesAreMadeOfWhatIsKnownToBeGood while one has failed by the target and has not proved it since.
func TestMachinesAreMadeOfWhatIsKnownToBeGood(t *testing.T) {
	triesAgain := func(phase v1alpha1.NodeAgentPhase, current, previous string) func(*v1alpha1.NodeAgent) {
		return func(a *v1alpha1.NodeAgent) {
			wentBack("r1")(a)
			a.Status.Phase, a.Status.CurrentRevision, a.Status.PreviousRevision = phase, current, previous
		}
	}
	for name, c := range map[string]struct {
		reason string
		first  func(*v1alpha1.NodeAgent)
		edit   func(*Snapshot)
		want   string
	}{
		"nothing failed":          {reason: "the template is what machines are made from", first: given("r1", v1alpha1.PhaseProbation), want: "r1"},
		"one went back":           {reason: "what it went back to is good", first: wentBack("r1"), want: "r0"},
		"it has other facts":      {reason: "what it says is of before these facts, and still all that is known", first: func(a *v1alpha1.NodeAgent) { wentBack("r1")(a); unheard(a) }, want: "r0"},
		"it fetches it again":     {reason: "it has a reason to try it again, and runs what is good meanwhile", first: triesAgain(v1alpha1.PhaseStaging, "r0", "r-1"), want: "r0"},
		"it tries it again":       {reason: "on probation it would go back to what is good", first: triesAgain(v1alpha1.PhaseProbation, "r1", "r0"), want: "r0"},
		"it is given it anew":     {reason: "the template was edited back and forth, and it has not heard of that yet", first: func(a *v1alpha1.NodeAgent) { wentBack("r1")(a); a.Status.Phase = v1alpha1.PhaseCommitted; unheard(a) }, want: "r0"},
		"it proved it since":      {reason: "it was not the revision's fault", first: triesAgain(v1alpha1.PhaseCommitted, "r1", "r0"), want: "r1"},
		"it failed before":        {reason: "it was told something else since, and runs that; the target is to be tried again", first: func(a *v1alpha1.NodeAgent) { wentBack("r1")(a); given("r0", v1alpha1.PhaseCommitted)(a) }, want: "r1"},
		"the facts failed":        {reason: "a machine that is made gets the same facts, whatever its revision", first: func(a *v1alpha1.NodeAgent) { wentBack("r1")(a); a.Status.CurrentRevision = "r1" }},
		"of other infrastructure": {reason: "the template that it was made from is not the pool's any more", first: wentBack("r1"), edit: func(s *Snapshot) { s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true} }},
		"not stored any more":     {reason: "nobody knows what it asked for", first: wentBack("r1"), edit: func(s *Snapshot) { delete(s.Contents, "r0") }},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(newPool(3, 9, isUpdating(0)), newMachine(0, outdated), newMachine(1, outdated))
			hasAgents(runs(0, "r0", c.first), runs(1, "r0"))(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			made := ""
			for _, create := range result.Of(Create) {
				made = create.Revision
			}
			if made != c.want || result.Reserve != nil && result.Reserve.Revision != made {
				t.Errorf("%s: got %q, reserved %+v; want %q", c.reason, made, result.Reserve, c.want)
			}
			if held := result.deferredFor(DeferredRolledBack); c.want == "" && !held {
				t.Errorf("%s: nothing says that it waits: %+v", c.reason, result.Deferred)
			}
		})
	}
}

// TestAReservationForWhatFailedSinceIsGivenUp, as one for an older template is.
func TestAReservationForWhatFailedSinceIsGivenUp(t *testing.T) {
	s := snapshot(newPool(3, 9, hasReserved(8, 1, "r1")), newMachine(0, outdated), newMachine(1, outdated))
	hasAgents(runs(0, "r0", wentBack("r1")), runs(1, "r0"))(&s)
	if result := Plan(s); len(result.Of(Create)) > 0 || !slices.Equal(ordinals(result, Discard), []int64{8}) || !result.FinishReservation {
		t.Errorf("got %+v", result)
	}
}

func TestAPoolThatWentBackSaysWhatItMakes(t *testing.T) {
	s := snapshot(newPool(3, 9), newMachine(0, outdated), newMachine(1, outdated))
	hasAgents(runs(0, "r0", wentBack("r1")), runs(1, "r0"))(&s)
	plan := Plan(s)
	status, events := Report(s, plan, Outcome{Created: plan.Of(Create)})
	because, message := messageOf(status, v1alpha1.StalledCondition)
	if because != v1alpha1.ReasonRolledBack || !strings.Contains(message, "(1 waits), and new ones are made from revision r0: change the template") {
		t.Errorf("it says %s: %s", because, message)
	}
	words := "; it is made from revision r0, as " + newMachine(0).Name + " went back from r1"
	if !slices.ContainsFunc(events, func(e Event) bool {
		return e.Reason == v1alpha1.ReasonMachineCreated && strings.Contains(e.Note, words)
	}) {
		t.Errorf("no event says %q: %+v", words, events)
	}
	s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: true}
	if _, message := messageOf(first(reportOf(s, Outcome{})), v1alpha1.StalledCondition); !strings.Contains(message, "(2 wait): change the template") {
		t.Errorf("with nothing that is known to be good it says %s", message)
	}
	s.Machines = s.Machines[1:] // somebody deleted the one that went back; the other is to be replaced
	if result := Plan(s); len(result.Of(Create)) != 3 || result.Of(Create)[0].Revision != "r1" {
		t.Errorf("without that machine the template is tried again: %+v", result)
	}
}

func first(status v1alpha1.NodePoolStatus, _ []Event) v1alpha1.NodePoolStatus { return status }

// TestWhatNewMachinesWaitForIsSaid also while the machine that went back tries it again, and no pool is Stalled by that.
func TestWhatNewMachinesWaitForIsSaid(t *testing.T) {
	again := func(a *v1alpha1.NodeAgent) { wentBack("r1")(a); a.Status.Phase = v1alpha1.PhaseStaging }
	s := snapshot(newPool(3, 9, isUpdating(0)), newMachine(0, outdated), newMachine(1, outdated))
	hasAgents(runs(0, "r0", again), runs(1, "r0"))(&s)
	name := newMachine(0).Name
	held := "; 2 wait: " + name + " went back from revision r1, and is in Staging with revision r1"
	for _, known := range []bool{true, false} {
		s.Contents["r0"] = Content{Spec: s.Contents["r0"].Spec, Elsewhere: !known}
		because, message := messageOf(first(reportOf(s, Outcome{})), v1alpha1.ReconcilingCondition)
		if because != v1alpha1.ReasonScalingUp || strings.HasSuffix(message, held) == known {
			t.Errorf("what is good is known: %t; it says %s: %s", known, because, message)
		}
	}
}

func TestRevisionsThatNodesRunAreKept(t *testing.T) {
	s := snapshot(newPool(1, 9), newMachine(0))
	hasAgents(runs(0, "r0", given("r-1", v1alpha1.PhaseProbation), func(a *v1alpha1.NodeAgent) { a.Status.PreviousRevision = "r-2" }))(&s)
	s.Pool.Spec.Rollout.RevisionHistoryLimit = ptr.To[int32](0)
	s.StoredRevisions = []string{"r-3", "r-2", "r-1", "r0", "r1"}
	if got := Plan(s).PruneRevisions; !slices.Equal(got, []string{"r-3"}) {
		t.Errorf("pruned %v, want r-3 alone: the others are run, gone back to, or made from", got)
	}
	s.Machines[0].Annotations = map[string]string{v1alpha1.ToldRevisionAnnotation: "r-3"} // its NodeAgent is made anew with that
	if got := Plan(s).PruneRevisions; len(got) > 0 {
		t.Errorf("pruned %v, which the node was told last", got)
	}
}

func TestWhatARolloutWaitsForIsSaid(t *testing.T) {
	name := func(ordinal int64) string { return newMachine(ordinal).Name }
	for _, c := range []struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		outcome  Outcome
		because  string
		words    string
	}{
		{
			"a machine that is silent gets it when it is back", nil, ms(newMachine(0, outdated, silent), newMachine(1, outdated)), as(runs(0, "r0"), runs(1, "r1")), Outcome{},
			v1alpha1.ReasonUpdating, "1 of 2 machines runs revision r1; nothing is heard of " + name(0),
		},
		{
			"a machine is being deleted", edits(wants(1)), ms(newMachine(0, outdated), newMachine(1, outdated, leaving, joined)), as(runs(0, "r0"), runs(1, "r0")), Outcome{},
			v1alpha1.ReasonScalingDown, "machines still to be drained and deleted: 1",
		},
		{
			"a bundle cannot be fetched", edits(isUpdating(0)), ms(newMachine(0, outdated, withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionTrue, "the bundle is not there")), newMachine(1, outdated)),
			as(runs(0, "r0", given("r1", v1alpha1.PhaseStaging)), runs(1, "r0")), Outcome{},
			v1alpha1.ReasonUpdating, name(0) + " is in Staging with revision r1: the bundle is not there",
		},
		{
			"a node is drained", edits(isUpdating(0)), ms(newMachine(0, outdated), newMachine(1, outdated)), as(runs(0, "r0"), runs(1, "r0")), Outcome{Drains: []Drain{{Name: name(0), Message: "* Pod web/a: deletionTimestamp set"}}},
			v1alpha1.ReasonUpdating, name(0) + " is drained before it is given revision r1: * Pod web/a: deletionTimestamp set",
		},
		{
			"the API server refused the change", edits(isUpdating(0)), ms(newMachine(0, outdated), newMachine(1, outdated)), as(runs(0, "r0"), runs(1, "r0")), Outcome{UpdateFailures: []Failure{{Name: name(0), Message: "a policy says no"}}},
			v1alpha1.ReasonMachineUpdateFailed, "Machine " + name(0) + " could not be changed: a policy says no",
		},
		{
			"the pool is paused", edits(isPaused), ms(newMachine(0, outdated), newMachine(1, outdated)), as(runs(0, "r0"), runs(1, "r1")), Outcome{},
			v1alpha1.ReasonPaused, "2 of 2 machines ready and 1 that does not run its template yet",
		},
	} {
		s := snapshot(newPool(2, 9, c.pool...), c.machines...)
		hasAgents(c.agents...)(&s)
		status, _ := reportOf(s, c.outcome)
		ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition)
		if ready == nil || ready.Status == metav1.ConditionTrue || ready.Reason != c.because || !strings.Contains(ready.Message, c.words) {
			t.Errorf("%s: got %+v, want %s: %q", c.reason, ready, c.because, c.words)
		}
	}
}

func TestABudgetThatBlocksADrainForAChangeIsNamed(t *testing.T) {
	s := snapshot(newPool(1, 9, isUpdating(0)), newMachine(0, outdated))
	hasAgents(runs(0, "r0"))(&s)
	status, events := reportOf(s, Outcome{Drains: []Drain{{Name: newMachine(0).Name, Message: "Drain not completed yet:\n* Pod web/a: cannot evict pod as it would violate the pod's disruption budget. " +
		"The disruption budget web needs 2 healthy pods and has 2 currently"}}})
	because, message := messageOf(status, v1alpha1.DrainBlockedCondition)
	if because != v1alpha1.ReasonPodDisruptionBudget || !strings.Contains(message, newMachine(0).Name+": pod web/a may not be evicted: PodDisruptionBudget web/web needs 2") {
		t.Errorf("the pool says %s: %s", because, message)
	}
	if !slices.ContainsFunc(events, func(e Event) bool { return e.Reason == v1alpha1.ReasonPodDisruptionBudget }) {
		t.Errorf("no event tells it: %+v", events)
	}
}
