package planner

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func leftAlone(why string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.DoNotDisruptAnnotation, why)
	}
}

func TestAMachineIsLeftAlone(t *testing.T) {
	made := func(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
		return newMachine(ordinal, append([]func(*clusterv1.Machine){outdated, joined}, edits...)...)
	}
	first, second := newMachine(0).Name, newMachine(1).Name
	old := as(runs(0, "r0"), runs(1, "r0"))
	asked := "Machine " + first + " is annotated fleet.drover.dev/do-not-disrupt"
	for what, c := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines []*clusterv1.Machine
		agents   []*v1alpha1.NodeAgent
		edit     func(*Snapshot)
		does     []string
		deferred string // what is said of why
		updating []string
		ready    string // the reason of Ready
		waits    string
	}{
		"it is to be changed":        {reason: "it is passed over, and the others go on", machines: ms(made(0, leftAlone("a batch\nuntil Friday")), made(1)), agents: old, does: []string{"Update " + second}, deferred: asked + " (a batch until Friday)", updating: []string{second}, ready: v1alpha1.ReasonUpdating, waits: second + " is given revision r1"},
		"without a reason":           {reason: "any value counts", machines: ms(made(0, leftAlone("")), made(1)), agents: old, does: []string{"Update " + second}, deferred: asked, updating: []string{second}, ready: v1alpha1.ReasonUpdating, waits: second + " is given revision r1"},
		"it alone is left":           {reason: "the rollout is not complete, and does not go on without a person", machines: ms(made(0, leftAlone("x")), made(1)), agents: as(runs(0, "r0"), runs(1, "r1")), deferred: asked + " (x)", ready: v1alpha1.ReasonDoNotDisrupt, waits: asked + " (x)"},
		"it runs what it is to":      {reason: "there is nothing to spare it", machines: ms(made(0, leftAlone("x")), made(1)), agents: as(runs(0, "r1"), runs(1, "r1")), ready: v1alpha1.ReasonAllReplicasReady},
		"it never joined":            {reason: "no pod is on it", machines: ms(newMachine(0, outdated, unready, leftAlone("x")), made(1)), agents: as(runs(0, "r0", unstarted), runs(1, "r1")), does: []string{"Update " + first}, ready: v1alpha1.ReasonUpdating, waits: first + " is given revision r1"},
		"its change has begun":       {reason: "it is drained no more, and let back", pool: edits(isUpdating(0)), machines: ms(made(0, leftAlone("x")), made(1)), agents: old, edit: func(s *Snapshot) { s.Cordoned = map[string]bool{first: true} }, does: []string{"Uncordon " + first}, deferred: first + " is changed first", updating: []string{first}, ready: v1alpha1.ReasonUpdating, waits: first + " is to be left alone"},
		"it begun, and is let back":  {reason: "its change is over, and the next one begins", pool: edits(isUpdating(0)), machines: ms(made(0, leftAlone("x")), made(1)), agents: old, does: []string{"Update " + second}, deferred: asked + " (x)", updating: []string{second}, ready: v1alpha1.ReasonUpdating, waits: second + " is given revision r1"},
		"it was told already":        {reason: "what has begun is brought to its end", pool: edits(isUpdating(0)), machines: ms(made(0, leftAlone("x")), made(1)), agents: as(runs(0, "r1", given("r1", v1alpha1.PhaseProbation)), runs(1, "r0")), deferred: first + " is in Probation with revision r1", updating: []string{first}, ready: v1alpha1.ReasonUpdating, waits: first + " is in Probation with revision r1"},
		"one too many":               {reason: "another one goes, though this is the first to go by all else", pool: edits(wants(1)), machines: ms(made(0, leftAlone("x"), deleteFirst, leftAlone("x"), unready), made(1)), agents: as(runs(0, "r1"), runs(1, "r1")), does: []string{"Delete " + second}, ready: v1alpha1.ReasonScalingDown},
		"all too many":               {reason: "it stays", pool: edits(wants(0)), machines: ms(made(0, leftAlone("x"))), agents: as(runs(0, "r1")), deferred: asked + " (x)", ready: v1alpha1.ReasonDoNotDisrupt},
		"its pool is deleted":        {reason: "that is the user's later word", pool: edits(isDeleting), machines: ms(made(0, leftAlone("x"))), agents: as(runs(0, "r1")), does: []string{"Delete " + first}, ready: v1alpha1.ReasonDeleting},
		"it is deleted":              {reason: "by whom, is obeyed; its place is taken", machines: ms(made(0, leftAlone("x"), leaving), made(1)), agents: as(runs(0, "r1"), runs(1, "r1")), pool: edits(wants(1)), does: []string{"Release " + first}, ready: v1alpha1.ReasonScalingDown},
		"what it runs is taken back": {reason: "for whatever cause", pool: edits(rollsBack, gaveUp("r1", "r0")), machines: ms(made(0, leftAlone("x")), made(1)), agents: as(runs(0, "r1"), runs(1, "r0")), deferred: asked + " (x)", ready: v1alpha1.ReasonRolledBack, waits: asked + " (x)"},
		"the fleet is stopped":       {reason: "that holds more", machines: ms(made(0, leftAlone("x")), made(1)), agents: old, edit: isStopped, deferred: "a fire", ready: v1alpha1.ReasonFleetStopped, waits: "the annotation stops the fleet: a fire"},
	} {
		t.Run(what, func(t *testing.T) {
			s := snapshot(newPool(int32(len(c.machines)), 9, c.pool...), c.machines...) //nolint:gosec // two
			hasAgents(c.agents...)(&s)
			if c.edit != nil {
				c.edit(&s)
			}
			result := Plan(s)
			var does []string
			for _, a := range result.Actions {
				does = append(does, string(a.Verb)+" "+a.Name)
			}
			if !slices.Equal(does, c.does) || !slices.Equal(result.Updating, c.updating) && len(c.updating)+len(result.Updating) > 0 {
				t.Errorf("%s: it does %v, want %v; changed are %v, want %v", c.reason, does, c.does, result.Updating, c.updating)
			}
			deferred := ""
			for _, d := range result.Deferred {
				deferred += d.Message
			}
			if !strings.Contains(deferred, c.deferred) || c.deferred == "" && deferred != "" {
				t.Errorf("%s: deferred for %q, want %q", c.reason, deferred, c.deferred)
			}
			status, events := Report(s, result, Outcome{Deleted: result.Of(Delete), Updated: result.Of(Update)})
			if got := condition(status, v1alpha1.ReadyCondition).Reason; got != c.ready {
				t.Errorf("%s: it is Ready for %s, want %s: %+v", c.reason, got, c.ready, status.Conditions)
			}
			if c.waits != "" && status.Rollout.WaitingFor != c.waits {
				t.Errorf("%s: the rollout waits for %q, want %q", c.reason, status.Rollout.WaitingFor, c.waits)
			}
			told := slices.ContainsFunc(events, func(e Event) bool { return e.Reason == DeferredDoNotDisrupt })
			if held := result.deferredFor(DeferredDoNotDisrupt); told != (held && c.ready != v1alpha1.ReasonRolledBack) {
				t.Errorf("%s: an event says so: %t, it is held: %t", c.reason, told, held)
			}
			if complaint := kstatusComplaint(s.Pool.Generation, status); complaint != "" {
				t.Errorf("kstatus misreads it: %s", complaint)
			}
		})
	}
}
