package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// asked has a MachineHealthCheck ask for a machine since a minute, as it has found something.
func asked(minute int, found string) func(*clusterv1.Machine) {
	if found != "" {
		found = "Health check failed:\n  * " + found
	}
	return since(minute, unready,
		withCondition(clusterv1.MachineHealthCheckSucceededCondition, metav1.ConditionFalse, found, clusterv1.MachineHealthCheckUnhealthyNodeReason),
		withCondition(clusterv1.MachineOwnerRemediatedCondition, metav1.ConditionFalse, "Waiting for remediation", clusterv1.MachineOwnerRemediatedWaitingForRemediationReason))
}

// foundHealthy is what a MachineHealthCheck makes of a machine that has recovered.
var foundHealthy = withCondition(clusterv1.MachineHealthCheckSucceededCondition, metav1.ConditionTrue, "", clusterv1.MachineHealthCheckSucceededReason)

func unasked(p *v1alpha1.NodePool) { p.Spec.Repair = v1alpha1.NodePoolRepair{} }

func TestRemediationThatOthersAskFor(t *testing.T) {
	type of = map[int64][]func(*clusterv1.Machine)
	name := func(ordinal int64) string { return newMachine(ordinal).Name }
	const deleting = "MachineDeleting: Machine is deleted, and another one is made"
	waits := func(message string) string { return "RemediationDeferred: Waits to be replaced: " + message }
	for title, tc := range map[string]struct {
		reason   string
		replicas int32
		pool     []func(*v1alpha1.NodePool)
		machines of
		edit     func(*Snapshot)
		deletes  []string
		// answers are what comes of it, by machine; empty for one that has no answer any more.
		answers map[string]string
	}{
		"one":                    {reason: "the pool need not ask for it itself", replicas: 3, machines: of{1: {asked(59, "Node failed")}}, deletes: []string{name(1)}, answers: map[string]string{name(1): deleting}},
		"one, and the pool asks": {reason: "who asks first is heard first", replicas: 3, pool: edits(repairs("40%")), machines: of{1: {dead(55), asked(58, "Node failed")}}, deletes: []string{name(1)}, answers: map[string]string{name(1): deleting}},
		"a moment ago": {reason: "others may be asked for that were cut off with it", replicas: 3, machines: of{1: {asked(59, "Node failed"), func(m *clusterv1.Machine) {
			later := metav1.NewTime(epoch.Add(time.Hour - 30*time.Second))
			m.Status.Conditions[len(m.Status.Conditions)-1].LastTransitionTime = later
		}}}},
		"unhealthy, and not asked": {reason: "nobody asks", replicas: 3, machines: of{1: {dead(10)}, 2: {asked(59, "")}}, deletes: nil, answers: map[string]string{name(2): waits("2 of 3 machines are unhealthy, and with more than 1 none is repaired (spec.repair.maxUnhealthy): " + name(1) + ", " + name(2))}},
		"taken back":               {reason: "what nobody asks for any more is not said", replicas: 3, machines: of{1: {asked(10, ""), foundHealthy}}, answers: map[string]string{name(1): ""}},
		"half of it":               {reason: "Cluster API's contract has two conditions", replicas: 3, machines: of{1: {withCondition(clusterv1.MachineOwnerRemediatedCondition, metav1.ConditionFalse, "", "Waiting")}}},
		"it goes already":          {reason: "that is what was asked for", replicas: 3, machines: of{1: {asked(10, "")}, 3: {leaving, asked(10, "")}}, answers: map[string]string{name(1): waits(name(3) + " is being deleted")}},
		"two": {
			reason: "one at a time", replicas: 5, machines: of{1: {asked(20, "")}, 2: {asked(10, "")}}, deletes: []string{name(2)},
			answers: map[string]string{name(1): waits(name(2) + " is repaired first"), name(2): deleting},
		},
		"all of them, at once": {
			reason: "it is the network, whatever asks", replicas: 3, machines: of{0: {dead(10), asked(20, "")}, 1: {dead(10), asked(20, "")}, 2: {dead(10), asked(20, "")}},
			answers: map[string]string{name(0): waits(nothingHeardOf3), name(1): waits(nothingHeardOf3), name(2): waits(nothingHeardOf3)},
		},
		"frozen until now":     {reason: "who asks has to find out first", replicas: 3, pool: edits(wasFrozen), machines: of{1: {asked(10, "")}}},
		"the manager was away": {reason: "as long as one that asks for it, maybe", replicas: 3, machines: of{1: {asked(10, "")}}, edit: func(s *Snapshot) { s.ListeningSince = s.Now.Add(-59 * time.Second) }},
		"paused":               {reason: "nothing is changed", replicas: 3, pool: edits(isPaused), machines: of{1: {asked(10, "")}}, answers: map[string]string{name(1): waits("spec.paused is set")}},
		"stopped":              {reason: "for whatever cause", replicas: 3, machines: of{1: {asked(10, "")}}, edit: isStopped, answers: map[string]string{name(1): waits("the annotation stops the fleet: a fire")}},
		"a budget":             {reason: "for whatever cause", replicas: 3, pool: edits(hasBudgets(budgetOf("0"))), machines: of{1: {asked(10, "")}}, answers: map[string]string{name(1): waits("spec.disruption.budgets[0] allows no node to be disrupted")}},
		"on hold":              {reason: "somebody wants to look at it", replicas: 3, machines: of{1: {asked(10, ""), annotated(clusterv1.MachineSkipRemediationAnnotation)}}, answers: map[string]string{name(1): waits(name(1) + " is annotated cluster.x-k8s.io/skip-remediation")}},
		"for want of a Host": {
			reason: "another one would want it as well", replicas: 3, machines: of{1: {asked(10, ""), withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "no Host is free", v1alpha1.ReasonNoHost)}},
			answers: map[string]string{name(1): waits("another one would wait as " + name(1) + " does: no Host is free")},
		},
		"for want of a manager's knowledge": {reason: "it is read first, and nobody is told of that", replicas: 3, machines: of{1: {asked(10, "")}}, edit: func(s *Snapshot) { s.Live = false }},
		"what it is told already": {
			reason: "it is not said again", replicas: 3, pool: edits(isPaused),
			machines: of{1: {asked(10, ""), withCondition(clusterv1.MachineOwnerRemediatedCondition, metav1.ConditionFalse, "Waits to be replaced: spec.paused is set", "RemediationDeferred")}},
		},
		"begun, and taken back": {reason: "who asks has thought better of it", replicas: 5, pool: edits(isRepairing(2, 5, 1)), machines: of{1: {asked(10, "")}, 2: {dead(10)}}, deletes: []string{name(1)}, answers: map[string]string{name(1): deleting}},
		"too many machines":     {reason: "the one too many is the one", replicas: 2, machines: of{1: {asked(10, "")}, 2: nil}, deletes: []string{name(1)}},
	} {
		t.Run(title, func(t *testing.T) {
			pool := tc.pool
			if title != "one, and the pool asks" {
				pool = append([]func(*v1alpha1.NodePool){unasked}, pool...)
			}
			s := repairSnapshot(tc.replicas, "", tc.machines, pool...)
			if tc.edit != nil {
				tc.edit(&s)
			}
			result := Plan(s)
			var deletes []string
			for _, a := range result.Of(Delete) {
				deletes = append(deletes, a.Name)
			}
			if diff := cmp.Diff(tc.deletes, deletes); diff != "" {
				t.Errorf("%s: deletes (-want +got):\n%s", tc.reason, diff)
			}
			said := map[string]string{}
			for _, a := range result.Answers {
				said[a.Name] = ""
				if c := a.Condition; c != nil {
					said[a.Name] = c.Reason + ": " + c.Message
				}
			}
			if diff := cmp.Diff(tc.answers, said, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: answers (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

const nothingHeardOf3 = "nothing is heard of any of the pool's 3 nodes: none is repaired, as it may be the network that fails, or the way to the API server. If a machine is broken, delete it to have it replaced"

// TestARequestIsSeenInThePool for as long as there is one.
func TestARequestIsSeenInThePool(t *testing.T) {
	s := repairSnapshot(3, "", map[int64][]func(*clusterv1.Machine){1: {asked(59, "Node failed")}, 2: {dead(50)}}, unasked, func(p *v1alpha1.NodePool) { p.Status.Repair = nil })
	s.Pool.Spec.Repair.MaxUnhealthy = nil
	plan := Plan(s)
	status, _ := Report(s, plan, Outcome{})
	if reason, _ := messageOf(status, v1alpha1.RepairFrozenCondition); reason != v1alpha1.ReasonTooManyUnhealthy {
		t.Errorf("it is frozen with %q", reason)
	}
	if plan.RequeueAfter != watchEvery {
		t.Errorf("it is looked at again after %s", plan.RequeueAfter)
	}
	s = repairSnapshot(5, "", map[int64][]func(*clusterv1.Machine){1: {asked(59, "Node failed")}, 2: {dead(50)}}, unasked, func(p *v1alpha1.NodePool) { p.Status.Repair = nil })
	status, _ = Report(s, Plan(s), Outcome{})
	now := metav1.NewTime(s.Now)
	want := []v1alpha1.UnhealthyMachine{
		{Name: newMachine(1).Name, Since: now, Evidence: "RemediationAsked", Message: "a MachineHealthCheck asks to have it remediated: Node failed", NextRung: v1alpha1.RepairReplace, NextAt: metav1.NewTime(s.Now.Add(requestPatience))},
		{Name: newMachine(2).Name, Since: now, Evidence: "Silent", Message: "its agent: NotReported"},
	}
	if diff := cmp.Diff(want, status.Repair.Machines); diff != "" {
		t.Errorf("the pool has (-want +got):\n%s", diff)
	}
	if said := Explain(s).Machines; !slices.ContainsFunc(said, func(one Standing) bool {
		return one.Name == newMachine(2).Name && strings.HasSuffix(one.State, "; nobody asks to have it replaced (spec.repair)")
	}) {
		t.Errorf("it is said: %+v", said)
	}
	s = repairSnapshot(5, "", nil, unasked)
	if status, _ := Report(s, Plan(s), Outcome{}); status.Repair != nil {
		t.Errorf("when nobody asks, the pool has %+v", status.Repair)
	}
}
