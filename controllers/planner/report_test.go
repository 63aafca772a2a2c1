package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const refusedDrain = `Drain not completed yet (started at 2026-01-01T00:00:00Z):
* Pod default/other: deletionTimestamp set, but still not removed from the Node
* Pods shop/web-1, shop/web-2: cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 2 healthy pods and has 2 currently`

func draining(message string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		leaving(m)
		withCondition(clusterv1.MachineDeletingCondition, metav1.ConditionTrue, message, clusterv1.MachineDeletingDrainingNodeReason)(m)
	}
}

func TestConditions(t *testing.T) {
	with := func(s Snapshot, edit func(*Snapshot)) Snapshot { edit(&s); return s }
	problem := func(reason string, passing bool) func(*Snapshot) {
		return func(s *Snapshot) {
			s.Problems = []Problem{{Reason: reason, Message: "what to do", Passing: passing}}
		}
	}
	cases := map[string]struct {
		reason   string
		snapshot Snapshot
		outcome  Outcome
		want     []string
		message  string
	}{
		"complete": {
			reason:   "a complete pool is Ready and nothing else",
			snapshot: snapshot(newPool(1, 1), newMachine(0)),
			want:     []string{"Available=True EnoughAvailable", "Ready=True AllReplicasReady"},
			message:  "1 of 1 machine is ready",
		},
		"empty": {
			reason:   "a pool that wants none is Ready with none",
			snapshot: snapshot(newPool(0, 0)),
			want:     []string{"Available=True EnoughAvailable", "Ready=True AllReplicasReady"},
			message:  "0 of 0 machines are ready",
		},
		"outdated": {
			reason:   "until there are rollouts, a template's change is for new machines only: a pool of older ones is Ready",
			snapshot: snapshot(newPool(1, 1), newMachine(0, outdated)),
			want:     []string{"Available=True EnoughAvailable", "Ready=True AllReplicasReady"},
			message:  "1 of 1 machine is ready",
		},
		"scaling up": {
			reason:   "machines are lacking",
			snapshot: snapshot(newPool(2, 1), newMachine(0)),
			want:     []string{"Available=False TooFewAvailable", "Ready=False ScalingUp", "Reconciling=True ScalingUp"},
			message:  "Scaling up to 2 machines: 1 exists, 1 is ready",
		},
		"just created": {
			reason:   "the first status after the creates says already that they are waited for: one write less",
			snapshot: snapshot(newPool(1, 0)),
			outcome:  Outcome{Created: []Action{{Verb: Create, Name: "m"}}},
			want:     []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message:  "0 of 1 machine is ready; waiting for m",
		},
		"waiting": {
			reason: "the message has what the agent said",
			snapshot: snapshot(newPool(2, 2), newMachine(0), newMachine(1, unready,
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse, "BundleFetchFailed: no route to host"))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "1 of 2 machines is ready; waiting for " + newMachine(1).Name + "; " + newMachine(1).Name + ": BundleFetchFailed: no route to host",
		},
		"infrastructure deleted": {
			reason: "Cluster API never makes it again, and the agent's last word does not know",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready, func(m *clusterv1.Machine) { m.Spec.InfrastructureRef.Kind = "LocalMachine" },
				withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "", clusterv1.MachineInfrastructureDeletedReason))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": its LocalMachine was deleted: delete the Machine to have it replaced",
		},
		"nothing heard": {
			reason: "an agent that has fallen silent is told, not only one that complains",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionUnknown, "the agent was last heard of at noon"))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": the agent was last heard of at noon",
		},
		"infrastructure failed": {
			reason: "what the provider says is told while no agent can",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "no quota left", "ProvisionFailed"))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": no quota left",
		},
		"infrastructure failed, and no agent in time": {
			reason: "that the agent did not report is no news where the provider knows why",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse, "the agent has not reported within 15m0s", v1alpha1.ReasonNotReported),
				withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "no Host is free", v1alpha1.ReasonNoHost))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": no Host is free",
		},
		"infrastructure failed, and the agent knows more": {
			reason: "what an agent says itself is nearer to the cause",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse, "digest mismatch", v1alpha1.ReasonBundleFetchFailed),
				withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "no answer", "Unreachable"))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": digest mismatch",
		},
		"infrastructure on its way": {
			reason: "Cluster API's words for a provider that has said nothing yet are no complaint",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "status.initialization.provisioned is false", clusterv1.MachineInfrastructureNotReadyReason))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name,
		},
		"node unwell": {
			reason: "a Node that is not healthy although its agent finds nothing is told",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionTrue, ""),
				withCondition(clusterv1.MachineNodeHealthyCondition, metav1.ConditionFalse, "* Node.DiskPressure: disk is full"))),
			want:    []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": * Node.DiskPressure: disk is full",
		},
		"to be remediated": {
			reason: "that a MachineHealthCheck asks for it is told, after the cause",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready,
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionTrue, ""),
				asked(59, "Node failed"),
				withCondition(clusterv1.MachineNodeHealthyCondition, metav1.ConditionFalse, "* Node.Ready: kubelet stopped"))),
			want: []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": * Node.Ready: kubelet stopped; " +
				"a MachineHealthCheck asks to have it remediated: Node failed",
		},
		"to be remediated without a cause": {
			reason:   "also where nothing else is known to be wrong",
			snapshot: snapshot(newPool(1, 1), newMachine(0, unready, asked(59, ""))),
			want:     []string{"Available=False TooFewAvailable", "Ready=False WaitingForMachines", "Reconciling=True WaitingForMachines"},
			message: "0 of 1 machine is ready; waiting for " + newMachine(0).Name + "; " + newMachine(0).Name + ": " +
				"a MachineHealthCheck asks to have it remediated",
		},
		"held by a hook": {
			reason: "what a deletion waits for is told",
			snapshot: snapshot(newPool(1, 2), newMachine(0), newMachine(1, leaving,
				withCondition(clusterv1.MachineDeletingCondition, metav1.ConditionTrue, "PreDrain hooks are present", clusterv1.MachineDeletingWaitingForPreDrainHookReason))),
			want:    []string{"Available=True EnoughAvailable", "Ready=False ScalingDown", "Reconciling=True ScalingDown"},
			message: "Scaling down to 1; machines still to be drained and deleted: 1; " + newMachine(1).Name + ": PreDrain hooks are present",
		},
		"held by a pod": {
			reason: "so is a pod that holds a drain, where its eviction was not refused",
			snapshot: snapshot(newPool(1, 2), newMachine(0), newMachine(1, leaving,
				withCondition(clusterv1.MachineDeletingCondition, metav1.ConditionTrue, "Drain not completed yet:\n* Pod a/b: deletionTimestamp set, but still not removed from the Node", clusterv1.MachineDeletingDrainingNodeReason))),
			want:    []string{"Available=True EnoughAvailable", "Ready=False ScalingDown", "Reconciling=True ScalingDown"},
			message: "Scaling down to 1; machines still to be drained and deleted: 1; " + newMachine(1).Name + ": Drain not completed yet: * Pod a/b: deletionTimestamp set, but still not removed from the Node",
		},
		"scaling down": {
			reason:   "a machine that still drains is counted",
			snapshot: snapshot(newPool(1, 2), newMachine(0), newMachine(1, leaving)),
			want:     []string{"Available=True EnoughAvailable", "Ready=False ScalingDown", "Reconciling=True ScalingDown"},
			message:  "Scaling down to 1; machines still to be drained and deleted: 1",
		},
		"drain blocked": {
			reason:   "the pool names machine, pod and budget",
			snapshot: snapshot(newPool(1, 2), newMachine(0), newMachine(1, draining(refusedDrain))),
			want:     []string{"Available=True EnoughAvailable", "DrainBlocked=True PodDisruptionBudget", "Ready=False ScalingDown", "Reconciling=True ScalingDown"},
			message:  "Scaling down to 1; machines still to be drained and deleted: 1",
		},
		"paused": {
			reason:   "a paused pool is not on its way, and needs somebody who lets it go on",
			snapshot: snapshot(newPool(2, 1, isPaused), newMachine(0)),
			want:     []string{"Available=False TooFewAvailable", "Ready=False Paused", "Stalled=True Paused", "Suspended=True Paused"},
			message:  "The pool is paused with 1 of 2 machines ready: unset spec.paused to go on",
		},
		"paused and complete": {
			reason:   "pausing a complete pool takes nothing from it",
			snapshot: snapshot(newPool(1, 1, isPaused), newMachine(0)),
			want:     []string{"Available=True EnoughAvailable", "Ready=True AllReplicasReady", "Suspended=True Paused"},
			message:  "1 of 1 machine is ready",
		},
		"deleting": {
			reason:   "a pool that is being deleted says how many are left",
			snapshot: snapshot(newPool(1, 1, isDeleting), newMachine(0, leaving)),
			want:     []string{"Available=True EnoughAvailable", "Ready=False Deleting", "Reconciling=True Deleting"},
			message:  "The pool is being deleted; machines still to be drained and deleted: 1",
		},
		"deleting and paused": {
			reason:   "a paused pool is not even deleted, and says how to go on",
			snapshot: snapshot(newPool(1, 1, isDeleting, isPaused), newMachine(0)),
			want:     []string{"Available=True EnoughAvailable", "Ready=False Paused", "Stalled=True Paused", "Suspended=True Paused"},
			message:  "The pool is being deleted and paused: unset spec.paused to drain and delete its machines",
		},
		"cluster not ready at first": {
			reason:   "what goes away by itself is no reason to call a user",
			snapshot: with(snapshot(newPool(1, 0)), problem(v1alpha1.ReasonClusterNotReady, true)),
			want:     []string{"Available=False TooFewAvailable", "Ready=False ClusterNotReady", "Reconciling=True ClusterNotReady"},
			message:  "what to do",
		},
		"create refused": {
			reason:   "what the API server refuses needs a user",
			snapshot: snapshot(newPool(1, 0)),
			outcome:  Outcome{Failures: []Failure{{Name: "m", Message: "quota"}}},
			want:     []string{"Available=False TooFewAvailable", "Ready=False MachineCreateFailed", "Stalled=True MachineCreateFailed"},
			message:  "1 machine could not be made; m: quota",
		},
		"create failed": {
			reason:   "what may work the next time does not",
			snapshot: snapshot(newPool(1, 0)),
			outcome:  Outcome{Failures: []Failure{{Name: "m", Message: "timeout", Passing: true}}},
			want:     []string{"Available=False TooFewAvailable", "Ready=False MachineCreateFailed", "Reconciling=True MachineCreateFailed"},
			message:  "1 machine could not be made; m: timeout",
		},
	}
	for _, reason := range []string{
		v1alpha1.ReasonBundleNotFound, v1alpha1.ReasonBundleAmbiguous, v1alpha1.ReasonTemplateNotFound,
		v1alpha1.ReasonClusterNotReady, v1alpha1.ReasonDiscoveryFailed,
	} {
		c := cases["complete"]
		c.reason = "a template that cannot be used is a stalled pool, even while its machines are well"
		c.snapshot = with(snapshot(newPool(1, 1), newMachine(0)), problem(reason, false))
		c.want = []string{"Available=True EnoughAvailable", "Ready=False " + reason, "Stalled=True " + reason}
		c.message = "what to do"
		cases[reason] = c
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			status, _ := Report(tc.snapshot, Plan(tc.snapshot), tc.outcome)
			var got []string
			for _, c := range status.Conditions {
				if c.Type == v1alpha1.RolloutCompleteCondition {
					continue // TestARolloutSaysHowFarItIs has that
				}
				got = append(got, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
				if c.ObservedGeneration != tc.snapshot.Pool.Generation || !c.LastTransitionTime.Time.Equal(tc.snapshot.Now) {
					t.Errorf("%s is about this generation and changed now: %+v", c.Type, c)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if complaint := kstatusComplaint(tc.snapshot.Pool.Generation, status); complaint != "" {
				t.Errorf("%s, but kstatus misreads it: %s", tc.reason, complaint)
			}
			if got := condition(status, v1alpha1.ReadyCondition).Message; got != tc.message {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.message)
			}
		})
	}
}

// kstatusComplaint is what in a status breaks the rules by which kstatus, and so Flux and kubectl's followers, read it:
// Reconciling and Stalled are absent unless true and never both there, Ready is there always and excludes them, and the
// generation that all speak of is told. Ready that is False alone reads as in progress, which a paused pool is not.
func kstatusComplaint(generation int64, status v1alpha1.NodePoolStatus) string {
	suspended := condition(status, v1alpha1.SuspendedCondition)
	ready, reconciling, stalled := condition(status, v1alpha1.ReadyCondition), condition(status, v1alpha1.ReconcilingCondition), condition(status, v1alpha1.StalledCondition)
	for _, c := range []*metav1.Condition{reconciling, stalled} {
		if c != nil && c.Status != metav1.ConditionTrue {
			return fmt.Sprintf("%s is there and %s", c.Type, c.Status)
		}
	}
	switch {
	case status.ObservedGeneration != generation:
		return fmt.Sprintf("generation %d is told to be %d", generation, status.ObservedGeneration)
	case ready == nil:
		return "Ready is absent"
	case reconciling != nil && stalled != nil:
		return "it is Reconciling and Stalled"
	case ready.Status == metav1.ConditionTrue && (reconciling != nil || stalled != nil):
		return "it is Ready, and it is not"
	case suspended != nil && ready.Status != metav1.ConditionTrue && stalled == nil:
		return "it is Suspended, and on its way"
	}
	return ""
}

func TestConditionsGoAway(t *testing.T) {
	s := snapshot(newPool(1, 2), newMachine(0), newMachine(1, draining(refusedDrain)))
	s.Problems = []Problem{{Reason: v1alpha1.ReasonBundleNotFound, Message: "apply one"}}
	before, _ := Report(s, Plan(s), Outcome{})
	pool := newPool(1, 2)
	pool.Status = before
	s = snapshot(pool, newMachine(0))
	after, events := Report(s, Plan(s), Outcome{})
	for _, gone := range []string{v1alpha1.StalledCondition, v1alpha1.DrainBlockedCondition, v1alpha1.ReconcilingCondition} {
		if c := condition(after, gone); c != nil {
			t.Errorf("%s is absent when it does not hold: %+v", gone, c)
		}
	}
	if len(events) > 0 {
		t.Errorf("nothing happened that a user should see: %+v", events)
	}
}

func TestLongMessages(t *testing.T) {
	s := snapshot(newPool(1, 1), newMachine(0, unready, withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse, strings.Repeat("ä", 16*1024))))
	status, _ := Report(s, Plan(s), Outcome{})
	message := condition(status, v1alpha1.ReadyCondition).Message
	if len(message) > v1alpha1.MaxMessage || !utf8.ValidString(message) || !strings.HasPrefix(message, "0 of 1 machine is ready") {
		t.Errorf("what a machine says must not keep the pool's status from being written: %d bytes: %s", len(message), message)
	}
}

func TestReportIsStable(t *testing.T) {
	s := snapshot(newPool(3, 3), newMachine(0), newMachine(1, unready), newMachine(2, outdated))
	first, _ := Report(s, Plan(s), Outcome{})
	s.Pool = s.Pool.DeepCopy()
	s.Pool.Status = first
	s.Now = s.Now.Add(1)
	slices.Reverse(s.Machines)
	second, events := Report(s, Plan(s), Outcome{})
	if diff := cmp.Diff(first, second); diff != "" || len(events) > 0 {
		t.Errorf("the same state gives the same status, so nothing is written, and no events %v (-first +second):\n%s", events, diff)
	}
}

func TestCounters(t *testing.T) {
	s := snapshot(newPool(5, 6), newMachine(0), newMachine(1, unready), newMachine(2, outdated), newMachine(3, leaving))
	hasAgents(runs(0, "r1"), runs(1, "r0"), runs(2, "r1"), runs(3, "r1"))(&s)
	status, _ := Report(s, Plan(s), Outcome{Created: []Action{{Name: "m"}}})
	if got, want := countersOf(status), []int32{4, 2, 2, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("replicas, ready, available, updated, unavailable: got %v, want %v", got, want)
	}
	if status.Selector != "fleet.drover.dev/pool-uid=pool" || status.Revision != "r1" || status.ObservedGeneration != 3 || *status.NextOrdinal != 6 {
		t.Errorf("selector, revision and generation are the pool's: %+v", status)
	}
	s.Revision = ""
	if status, _ := Report(s, Plan(s), Outcome{}); status.UpdatedReplicas != nil || status.Revision != "" {
		t.Errorf("how many are updated is not known when the revision is not: %+v", status)
	}
}

func countersOf(status v1alpha1.NodePoolStatus) []int32 {
	return []int32{*status.Replicas, *status.ReadyReplicas, *status.AvailableReplicas, *status.UpdatedReplicas, *status.UnavailableReplicas}
}

// TestCountersAreWithoutMachinesThatLeave from the round on that deletes them: they are well, run the template, and are drained.
func TestCountersAreWithoutMachinesThatLeave(t *testing.T) {
	s := snapshot(newPool(1, 3), newMachine(0), newMachine(1), newMachine(2))
	hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))(&s)
	plan := Plan(s)
	status, _ := Report(s, plan, Outcome{Deleted: plan.Of(Delete)})
	if got, want := countersOf(status), []int32{1, 1, 1, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("in the round that deletes two: replicas, ready, available, updated, unavailable: got %v, want %v", got, want)
	}
	leaving(s.Machines[1])
	leaving(s.Machines[2])
	if status, _ = Report(s, Plan(s), Outcome{}); !slices.Equal(countersOf(status), []int32{1, 1, 1, 1, 0}) {
		t.Errorf("in the next: replicas, ready, available, updated, unavailable: got %v", countersOf(status))
	}
	if c := condition(status, v1alpha1.ReadyCondition); c.Reason != v1alpha1.ReasonScalingDown || !strings.HasSuffix(c.Message, "to be drained and deleted: 2") {
		t.Errorf("and that there are others still is said: %+v", c)
	}
}

func TestDrainBlockedNamesTheMachine(t *testing.T) {
	s := snapshot(newPool(0, 5, isDeleting), newMachine(0, draining(refusedDrain)), newMachine(1, draining(refusedDrain)),
		newMachine(2, draining(refusedDrain)), newMachine(3, draining(refusedDrain)))
	status, _ := Report(s, Plan(s), Outcome{})
	message := condition(status, v1alpha1.DrainBlockedCondition).Message
	if !strings.HasPrefix(message, newMachine(0).Name+": pod shop/web-1") || !strings.HasSuffix(message, "; 1 more") {
		t.Errorf("the message has three machines and how many more there are: %s", message)
	}
}

func TestDrainBlockedSaysWhatRefuses(t *testing.T) {
	const (
		budget  = "x:\n* Pod a/b: cannot evict pod as it would violate the pod's disruption budget. The disruption budget p needs 1 healthy pods and has 1 currently"
		webhook = "x:\n* Pod a/b: failed to evict Pod, admission webhook \"w\" denied the request: backups run"
		failed  = "x:\n* Pod a/b: failed to evict Pod, Internal error occurred: failed calling webhook \"w\": connection refused"
	)
	for _, c := range []struct {
		reason, first, second string
		because, message      string
	}{
		{"budgets may let go", budget, budget, v1alpha1.ReasonPodDisruptionBudget, newMachine(0).Name + ": pod a/b may not be evicted: PodDisruptionBudget a/p needs"},
		{"a webhook is named", webhook, "", v1alpha1.ReasonEvictionDenied, newMachine(0).Name + `: pod a/b may not be evicted: admission webhook "w" denied the request: backups run`},
		{"so is an error", failed, "", v1alpha1.ReasonEvictionFailed, newMachine(0).Name + `: pod a/b could not be evicted: Internal error occurred: failed calling webhook "w": connection refused`},
		{"what somebody has to change comes before what may let go", budget, webhook, v1alpha1.ReasonEvictionDenied, newMachine(1).Name + ": pod a/b may not be evicted: admission webhook"},
		{"and what fails comes in between", failed, webhook, v1alpha1.ReasonEvictionDenied, newMachine(1).Name},
		{"also before a budget", budget, failed, v1alpha1.ReasonEvictionFailed, newMachine(1).Name},
	} {
		s := snapshot(newPool(0, 5, isDeleting), newMachine(0, draining(c.first)), newMachine(1, draining(c.second)))
		status, events := Report(s, Plan(s), Outcome{})
		blocked := condition(status, v1alpha1.DrainBlockedCondition)
		if blocked == nil || blocked.Reason != c.because || !strings.HasPrefix(blocked.Message, c.message) {
			t.Errorf("%s: the condition is %+v, want %s: %s", c.reason, blocked, c.because, c.message)
		}
		if !slices.ContainsFunc(events, func(e Event) bool {
			return e.Type == "Warning" && e.Reason == c.because && strings.HasPrefix(e.Note, c.message)
		}) {
			t.Errorf("%s: the events are %+v, want %s: %s", c.reason, events, c.because, c.message)
		}
	}
}

func TestEvents(t *testing.T) {
	some := func(n int) []Action {
		var actions []Action
		for i := range n {
			actions = append(actions, Action{Name: fmt.Sprintf("m-%d", i), Reason: "why"})
		}
		return actions
	}
	cases := map[string]struct {
		reason  string
		result  Result
		outcome Outcome
		problem []Problem
		want    []string
	}{
		"few": {
			reason:  "a few machines get an event each",
			outcome: Outcome{Created: some(2)},
			want:    []string{"Normal MachineCreated m-0 Created Machine m-0: why", "Normal MachineCreated m-1 Created Machine m-1: why"},
		},
		"many": {
			reason:  "many share one",
			outcome: Outcome{Deleted: some(6)},
			want:    []string{"Normal MachineDeleted  Deleted 6 Machines, m-0 to m-5: why"},
		},
		"taken": {
			reason: "a name that was passed over is a warning with what to do",
			result: Result{Taken: []string{"m-0"}, Reserve: &v1alpha1.OrdinalRange{}},
			want: []string{"Warning NodeNameTaken  Passed over m-0: a Node of that name exists and is not this pool's. " +
				"Delete the Node if nothing uses it; the pool goes on with the next name"},
		},
		"stalled": {
			reason: "a condition that becomes True is a warning",
			result: Result{Problems: []Problem{{Reason: v1alpha1.ReasonBundleNotFound, Message: "apply one"}}},
			want:   []string{"Warning BundleNotFound  apply one"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, events := Report(snapshot(newPool(1, 1), newMachine(0)), tc.result, tc.outcome)
			var got []string
			for _, e := range events {
				got = append(got, fmt.Sprintf("%s %s %s %s", e.Type, e.Reason, e.Machine, e.Note))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
