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
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	restarts = v1alpha1.RepairRestartComponent
	reboots  = v1alpha1.RepairReboot
	anew     = v1alpha1.RepairReplace
)

// climbs has a pool's machines repaired by those rungs: components after two minutes, a reboot after five, another machine after ten.
func climbs(ladder ...v1alpha1.RepairRung) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Repair.Ladder = ladder }
}

// isTreating says that a rung was begun on the machine of an ordinal, at a minute.
func isTreating(ordinal int64, rung v1alpha1.RepairRung, minute int) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		isRepairing(ordinal, 3, 1)(p)
		p.Status.Repair.Current.Rung, p.Status.Repair.Current.StartedAt = rung, minutes(minute)
	}
}

func minutes(minute int) metav1.Time {
	return metav1.NewTime(epoch.Add(time.Duration(minute) * time.Minute))
}

// isAskedFor has an agent asked for a rung at a minute.
func isAskedFor(rung v1alpha1.RepairRung, minute int) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) {
		a.Spec.Repair = &v1alpha1.RepairRequest{Rung: rung, RequestedAt: minutes(minute), ExpiresAt: minutes(minute + 2)}
	}
}

// that is what is so of an agent.
func that(list ...func(*v1alpha1.NodeAgent)) []func(*v1alpha1.NodeAgent) { return list }

// heard says when its heart beat last.
func heard(minute int) func(*v1alpha1.NodeAgent) {
	return func(a *v1alpha1.NodeAgent) { a.Status.HeartbeatTime = minutes(minute) }
}

func answered(a *v1alpha1.NodeAgent) {
	a.Status.Repair = &v1alpha1.RepairAnswer{Rung: a.Spec.Repair.Rung, RequestedAt: a.Spec.Repair.RequestedAt, State: v1alpha1.RepairDone}
}

// lapsed is a machine whose kubelet is silent since a minute, by what its agent said before.
func lapsed(minute int) func(*clusterv1.Machine) { return since(minute, agentIll, nodeLapsed) }

// notAvailableSince says since which minute a machine is not.
func notAvailableSince(minute int) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineAvailableCondition)
		c.Status, c.LastTransitionTime = metav1.ConditionFalse, minutes(minute)
	}
}

// isMadeAnew is a NodeAgent that somebody deleted: nothing is left of what was asked for but the agent's answer.
func isMadeAnew(a *v1alpha1.NodeAgent) { a.Spec.Repair = nil }

// isAlone leaves machine 1 of three.
func isAlone(s *Snapshot) { s.Machines = s.Machines[1:2] }

// TestTheLadder takes machine 1 of three through its rungs. It is an hour after the epoch.
func TestTheLadder(t *testing.T) {
	type of = map[int64][]func(*clusterv1.Machine)
	name := newMachine(1).Name
	all := climbs(restarts, reboots, anew)
	for title, tc := range map[string]struct {
		reason   string
		pool     []func(*v1alpha1.NodePool)
		machines of
		agent    []func(*v1alpha1.NodeAgent)
		edit     func(*Snapshot)
		does     string
		holds    string
		next     string // what the status has of the machine's next rung
		current  string // and of the repair that is under way
	}{
		"it fell ill":                {reason: "it may recover", pool: edits(all), machines: of{1: {sick(59)}}, next: "RestartComponent at 61"},
		"for two minutes":            {reason: "the first rung is due", pool: edits(all), machines: of{1: {sick(58)}}, does: "RestartComponent", next: "RestartComponent at 60", current: "RestartComponent since 60"},
		"the kubelet says so":        {reason: "that is what it is for", pool: edits(all), machines: of{1: {since(58, agentSays(metav1.ConditionUnknown, v1alpha1.ReasonNodeNotReady), nodeUnready)}}, does: "RestartComponent", next: "RestartComponent at 60", current: "RestartComponent since 60"},
		"no restart":                 {reason: "the first rung is another one", pool: edits(climbs(reboots, anew)), machines: of{1: {sick(55)}}, does: "Reboot", next: "Reboot at 60", current: "Reboot since 60"},
		"asked":                      {reason: "it has five minutes", pool: edits(all, isTreating(1, restarts, 56)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 56)), next: "Reboot at 61", current: "RestartComponent since 56"},
		"asked, and unheard of":      {reason: "that it has not heard of the request is no change", pool: edits(all, isTreating(1, restarts, 56)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 56), unheard), next: "Reboot at 61", current: "RestartComponent since 56"},
		"it did not help":            {reason: "the next one does more", pool: edits(all, isTreating(1, restarts, 55)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 55), answered), does: "Reboot", next: "Reboot at 60", current: "Reboot since 60"},
		"it was never done":          {reason: "an agent that does nothing holds up nobody", pool: edits(all, isTreating(1, restarts, 55)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 55), unheard), does: "Reboot", next: "Reboot at 60", current: "Reboot since 60"},
		"it helped":                  {reason: "nothing is left to do", pool: edits(all, isTreating(1, restarts, 50)), agent: that(isAskedFor(restarts, 50), answered)},
		"it reboots":                 {reason: "it is silent for that, which counts from then", pool: edits(all, isTreating(1, reboots, 55)), machines: of{1: {lapsed(57)}}, agent: that(isAskedFor(reboots, 55)), next: "Replace at 67", current: "Reboot since 55"},
		"the reboot did not help":    {reason: "the last rung is another machine", pool: edits(all, isTreating(1, reboots, 49)), machines: of{1: {lapsed(50)}}, agent: that(isAskedFor(reboots, 49)), does: "Replace", next: "Replace at 60", current: "Replace since 60"},
		"no other rung":              {reason: "it may help yet", pool: edits(climbs(restarts), isTreating(1, restarts, 59)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 59)), next: "", current: "RestartComponent since 59"},
		"no other rung, and no help": {reason: "others have their turn", pool: edits(climbs(restarts), isTreating(1, restarts, 58)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 58))},
		"given up":                   {reason: "it is not done again", pool: edits(climbs(restarts, reboots)), machines: of{1: {sick(20)}}, agent: that(isAskedFor(reboots, 30))},
		"given up, and another":      {reason: "that one has its turn", pool: edits(climbs(restarts, reboots)), machines: of{1: {sick(20)}, 2: {sick(58)}}, agent: that(isAskedFor(reboots, 30)), edit: mostIsTwo, does: "RestartComponent of 2", current: "RestartComponent since 60"},

		"ill again within the hour":   {reason: "what did not hold is not done again", pool: edits(all), machines: of{1: {sick(55)}}, agent: that(isAskedFor(restarts, 10), answered), does: "Reboot", next: "Reboot at 60", current: "Reboot since 60"},
		"ill again after an hour":     {reason: "it is another illness", pool: edits(all), machines: of{1: {sick(58)}}, agent: that(isAskedFor(restarts, -3), answered), does: "RestartComponent", next: "RestartComponent at 60", current: "RestartComponent since 60"},
		"rebooted within the hour":    {reason: "it goes on with the next", pool: edits(all), machines: of{1: {sick(45)}}, agent: that(isAskedFor(reboots, 10), answered), does: "Replace", next: "Replace at 55", current: "Replace since 60"},
		"never well in between":       {reason: "its agent began anew, which is no new illness", pool: edits(all), machines: of{1: {sick(58), notAvailableSince(-80)}}, agent: that(isAskedFor(restarts, -75), answered), next: "Reboot at 63"},
		"its NodeAgent was made anew": {reason: "the agent itself knows what it was asked for", pool: edits(all, isTreating(1, restarts, 56)), machines: of{1: {sick(50)}}, agent: that(isAskedFor(restarts, 56), answered, isMadeAnew), next: "Reboot at 61", current: "RestartComponent since 56"},
		"asked for tomorrow":          {reason: "somebody's clock was wrong", pool: edits(all, isTreating(1, reboots, 1500)), machines: of{1: {sick(58)}}, agent: that(isAskedFor(reboots, 1500)), does: "RestartComponent", next: "RestartComponent at 60", current: "RestartComponent since 60"},
		"its status was lost":         {reason: "the request is what remains", pool: edits(all), machines: of{1: {sick(40)}}, agent: that(isAskedFor(restarts, 56)), next: "Reboot at 61"},
		"written, and not asked":      {reason: "a manager died in between: the same request it is", pool: edits(all, isTreating(1, restarts, 59)), machines: of{1: {sick(50)}}, does: "RestartComponent", next: "RestartComponent at 52", current: "RestartComponent since 59"},
		"written long ago":            {reason: "the agent would not hear of that any more", pool: edits(all, isTreating(1, restarts, 50)), machines: of{1: {sick(40)}}, does: "RestartComponent", next: "RestartComponent at 42", current: "RestartComponent since 60"},
		"written, asked for less":     {reason: "a reboot was written, and its agent asked for the rung before", pool: edits(all, isTreating(1, reboots, 59)), machines: of{1: {sick(40)}}, agent: that(isAskedFor(restarts, 50)), does: "Reboot", next: "Reboot at 55", current: "Reboot since 59"},
		"written, and it is another":  {reason: "one at a time", pool: edits(all, isTreating(2, restarts, 59)), machines: of{1: {sick(50)}, 2: {sick(51)}}, edit: mostIsTwo, does: "RestartComponent of 2", holds: "Treat 1 OneAtATime: " + newMachine(2).Name + " is repaired first", next: "RestartComponent at 52", current: "RestartComponent since 59"},
		"another is treated":          {reason: "one at a time", pool: edits(all, isTreating(2, restarts, 58)), machines: of{1: {sick(50)}, 2: {sick(51)}}, edit: func(s *Snapshot) { mostIsTwo(s); isAskedFor(restarts, 58)(s.Agents[newMachine(2).Name]) }, holds: "Treat 1 OneAtATime: " + newMachine(2).Name + " is repaired first", next: "RestartComponent at 52", current: "RestartComponent since 58"},
		"another went":                {reason: "somebody deleted it", pool: edits(all, isTreating(9, restarts, 58)), machines: of{1: {sick(50)}}, does: "RestartComponent", next: "RestartComponent at 52", current: "RestartComponent since 60"},

		"silent, as its agent is":       {reason: "nobody would hear", pool: edits(all), machines: of{1: {dead(55)}}, next: "Replace at 65"},
		"silent, and for long":          {reason: "it has had its time", pool: edits(all), machines: of{1: {dead(50)}}, does: "Replace", next: "Replace at 60", current: "Replace since 60"},
		"silent, and its agent is not":  {reason: "it can help", pool: edits(all), machines: of{1: {lapsed(50)}}, agent: that(heard(51)), does: "RestartComponent", next: "RestartComponent at 52", current: "RestartComponent since 60"},
		"the pool's only one":           {reason: "it may be the network, whatever its agent said by another clock", pool: edits(all, wants(1)), machines: of{1: {lapsed(50)}}, agent: that(heard(51)), edit: isAlone, holds: "Treat 1 RepairFrozen: nothing is heard of the pool's one node: none is repaired, as it may be the network that fails, or the way to the API server. If a machine is broken, delete it to have it replaced"},
		"silent since its last word":    {reason: "it may be dead", pool: edits(all), machines: of{1: {lapsed(55)}}, agent: that(heard(54)), next: "Replace at 65"},
		"its agent alone is silent":     {reason: "the kubelet says that it is ill", pool: edits(all), machines: of{1: {since(50, agentSilent, nodeUnready)}}, does: "Replace", next: "Replace at 60", current: "Replace since 60"},
		"off":                           {reason: "there is nobody to ask", pool: edits(all), machines: of{1: {since(50, agentIll, nodeReady, infraSays(v1alpha1.ReasonStopped))}}, does: "Replace", next: "Replace at 60", current: "Replace since 60"},
		"silent, and no Replace":        {reason: "nothing can be done", pool: edits(climbs(restarts, reboots)), machines: of{1: {dead(10)}}},
		"never joined":                  {reason: "there is nothing to mend", pool: edits(all), machines: of{1: {stillborn}}, does: "Replace", next: "Replace at 40", current: "Replace since 60"},
		"ill in the midst of a change":  {reason: "it goes back by itself", pool: edits(all, isTreating(1, restarts, 50)), machines: of{1: {sick(40)}}, agent: that(isAskedFor(restarts, 50), given("r1", v1alpha1.PhaseProbation))},
		"told to run another revision":  {reason: "it is a change, whatever was asked before", pool: edits(all, isTreating(1, restarts, 50)), machines: of{1: {sick(40)}}, agent: that(isAskedFor(restarts, 50), func(a *v1alpha1.NodeAgent) { a.Spec.Revision = "r2" }, unheard), does: "Update 1"},
		"a freeze ended a moment ago":   {reason: "it has all of its time again", pool: edits(all, isTreating(1, restarts, 40), func(p *v1alpha1.NodePool) { p.Status.Repair.WatchedSince = minutes(57) }), machines: of{1: {sick(30)}}, agent: that(isAskedFor(restarts, 40)), next: "Reboot at 62", current: "RestartComponent since 40"},
		"set back":                      {reason: "an old status was put back: what its agent was asked for since counts", pool: edits(all, isTreating(1, restarts, 50)), machines: of{1: {sick(40)}}, agent: that(isAskedFor(reboots, 54)), next: "Replace at 64", current: "RestartComponent since 50"},
		"a freeze for an hour":          {reason: "it has not been well since, whatever counts from when", pool: edits(all, func(p *v1alpha1.NodePool) { p.Status.Repair.WatchedSince = minutes(59) }), machines: of{1: {sick(-30)}}, agent: that(isAskedFor(restarts, -20)), next: "Reboot at 64"},
		"frozen while it is on":         {reason: "the next rung waits, and is not forgotten", pool: edits(all, isTreating(1, restarts, 50)), machines: of{0: {sick(50)}, 1: {sick(40)}}, agent: that(isAskedFor(restarts, 50)), holds: "Treat 2 RepairFrozen: 2 of 3 machines are unhealthy, and with more than 1 none is repaired (spec.repair.maxUnhealthy): " + newMachine(0).Name + ", " + name, current: "RestartComponent since 50"},
		"paused while it is on":         {reason: "the same", pool: edits(all, isTreating(1, restarts, 50), isPaused), machines: of{1: {sick(40)}}, agent: that(isAskedFor(restarts, 50)), holds: "Treat 1 Paused: spec.paused is set", next: "Reboot at 55", current: "RestartComponent since 50"},
		"stopped before it was asked":   {reason: "nobody is asked while it is stopped", pool: edits(all, isTreating(1, restarts, 59)), machines: of{1: {sick(50)}}, edit: isStopped, holds: "Treat 1 FleetStopped: the annotation stops the fleet: a fire", next: "RestartComponent at 52", current: "RestartComponent since 59"},
		"well again":                    {reason: "what it was asked for is over", pool: edits(all, isTreating(1, restarts, 50)), agent: that(isAskedFor(restarts, 50), answered)},
		"the manager was away":          {reason: "it may have been well meanwhile", pool: edits(all, isTreating(1, restarts, 40)), machines: of{1: {sick(30)}}, agent: that(isAskedFor(restarts, 40)), edit: func(s *Snapshot) { s.ListeningSince = minutes(58).Time }, next: "Reboot at 63", current: "RestartComponent since 40"},
		"the ladder became another one": {reason: "what is left of it counts", pool: edits(climbs(anew), isTreating(1, reboots, 50)), machines: of{1: {sick(30)}}, agent: that(isAskedFor(reboots, 50)), does: "Replace", next: "Replace at 60", current: "Replace since 60"},

		"frozen":              {reason: "it is not this machine", pool: edits(all), machines: of{0: {sick(50)}, 1: {sick(40)}}, holds: "Treat 2 RepairFrozen: 2 of 3 machines are unhealthy, and with more than 1 none is repaired (spec.repair.maxUnhealthy): " + newMachine(0).Name + ", " + name},
		"on hold":             {reason: "somebody looks at it", pool: edits(all), machines: of{1: {sick(50), annotated(v1alpha1.ForensicHoldAnnotation)}}, holds: "Treat 1 RepairHeld: " + name + " is annotated fleet.drover.dev/forensic-hold"},
		"held while it is on": {reason: "somebody looks at it", pool: edits(all, isTreating(1, restarts, 50)), machines: of{1: {sick(50), annotated(v1alpha1.ForensicHoldAnnotation)}}, agent: that(isAskedFor(restarts, 50)), holds: "Treat 1 RepairHeld: " + name + " is annotated fleet.drover.dev/forensic-hold"},
		"left alone":          {reason: "somebody asks for it", pool: edits(all), machines: of{1: {sick(50), annotated(v1alpha1.DoNotDisruptAnnotation)}}, holds: "Treat 1 DoNotDisrupt: Machine " + name + " is annotated fleet.drover.dev/do-not-disrupt", next: "RestartComponent at 52"},
		"paused":              {reason: "nothing is changed", pool: edits(all, isPaused), machines: of{1: {sick(50)}}, holds: "Treat 1 Paused: spec.paused is set", next: "RestartComponent at 52"},
		"stopped":             {reason: "whoever stops a fleet wants to look", pool: edits(all), machines: of{1: {sick(50)}}, edit: isStopped, holds: "Treat 1 FleetStopped: the annotation stops the fleet: a fire", next: "RestartComponent at 52"},
		"a budget for none":   {reason: "somebody may be at it", pool: edits(all, hasBudgets(budgetOf("0", v1alpha1.DisruptionRepair))), machines: of{1: {sick(50)}}, holds: "Treat 1 DisruptionBudget: spec.disruption.budgets[0] allows no node to be disrupted", next: "RestartComponent at 52"},
		"a budget for one":    {reason: "the node that is ill is it", pool: edits(all, hasBudgets(budgetOf("1"))), machines: of{1: {sick(50)}}, does: "RestartComponent", next: "RestartComponent at 52", current: "RestartComponent since 60"},
		"deleting":            {reason: "it goes", pool: edits(all, isDeleting), machines: of{1: {sick(50)}}, does: "Delete 1 Delete 2 Delete 0"},
		"stalled":             {reason: "no other one has to be made for it", pool: edits(all), machines: of{1: {sick(50)}}, edit: func(s *Snapshot) { s.Problems = []Problem{{Reason: "R", Message: "no bundle"}} }, does: "RestartComponent", next: "RestartComponent at 52", current: "RestartComponent since 60"},
		"too many machines":   {reason: "the ill one is the one too many", pool: edits(all, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To(int32(2)) }), machines: of{1: {sick(50)}}, does: "Delete 1", next: "RestartComponent at 52"},
		"one that went back":  {reason: "it stays, and may be mended", pool: edits(all), machines: of{1: {sick(50)}}, agent: that(wentBack("r1")), does: "RestartComponent", next: "RestartComponent at 52", current: "RestartComponent since 60"},
	} {
		t.Run(title, func(t *testing.T) {
			s := repairSnapshot(3, "", tc.machines, tc.pool...)
			for _, edit := range tc.agent {
				edit(s.Agents[name])
			}
			if tc.edit != nil {
				tc.edit(&s)
			}
			result := Plan(s)
			does, holds := "", ""
			for _, a := range result.Actions {
				what := string(a.Rung)
				if ordinal, _ := newFleet(s).ordinal(a.Name); what == "" {
					what = fmt.Sprintf("%s %d", a.Verb, ordinal)
				} else if ordinal != 1 {
					what = fmt.Sprintf("%s of %d", what, ordinal)
				}
				does = also(does, what)
			}
			for _, d := range result.Deferred {
				holds = also(holds, fmt.Sprintf("%s %d %s: %s", d.Verb, d.Count, d.Reason, d.Message))
			}
			status, _ := Report(s, result, Outcome{})
			next, current := "", ""
			if status.Repair != nil {
				for _, one := range status.Repair.Machines {
					if one.Name == name && one.NextRung != "" {
						next = fmt.Sprintf("%s at %d", one.NextRung, int(one.NextAt.Sub(epoch).Minutes()))
					}
				}
				if c := status.Repair.Current; c != nil {
					current = fmt.Sprintf("%s since %d", c.Rung, int(c.StartedAt.Sub(epoch).Minutes()))
				}
			}
			type outcome struct{ Does, Holds, Next, Current string }
			want := outcome{tc.does, tc.holds, tc.next, tc.current}
			if diff := cmp.Diff(want, outcome{does, holds, next, current}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func also(list, one string) string {
	if list == "" {
		return one
	}
	return list + " " + one
}

// mostIsTwo lets two of three be unhealthy.
func mostIsTwo(s *Snapshot) { s.Pool.Spec.Repair.MaxUnhealthy = ptr.To(intstr.Parse("2")) }

// A rung is asked for on the ground of what the API server says of that machine alone, and is in the pool's status before.
func TestARungIsWrittenFirst(t *testing.T) {
	s := repairSnapshot(3, "", map[int64][]func(*clusterv1.Machine){1: {sick(50)}}, climbs(restarts, reboots, anew))
	s.Confirmed, s.Live = false, false
	plan := Plan(s)
	if len(plan.Actions) > 0 || plan.Live || !slices.Equal(plan.Confirm, []string{newMachine(1).Name}) {
		t.Fatalf("on the ground of a cache it does %v, and wants %v confirmed, live %t", plan.Actions, plan.Confirm, plan.Live)
	}
	s.Confirmed, s.Sure = true, map[string]bool{newMachine(1).Name: true}
	plan = Plan(s)
	want := &v1alpha1.MachineRepair{
		Machine: newMachine(1).Name, MachineUID: string(newMachine(1).UID), Rung: restarts, StartedAt: metav1.NewTime(s.Now), NextOrdinal: ptr.To(int64(3)),
		Revision: "r1", Attempt: 1, Message: "it is unhealthy since 2026-01-01T00:50:00Z: its agent: RepairExhausted",
	}
	if diff := cmp.Diff(want, plan.Repair); diff != "" {
		t.Fatalf("the status is to have (-want +got):\n%s", diff)
	}
	if got := RequestOf(plan.Repair); got.Rung != restarts || !got.RequestedAt.Time.Equal(s.Now) || !got.ExpiresAt.Time.Equal(s.Now.Add(2*time.Minute)) {
		t.Errorf("its agent is asked for %+v", got)
	}
	status, events := Report(s, plan, Outcome{Treated: plan.Of(Treat)})
	note := "Machine " + want.Machine + " is to have its components restarted: " + want.Message
	if len(events) != 1 || events[0].Reason != v1alpha1.ReasonRepairRequested || events[0].Action != "RestartComponent" || events[0].Note != note {
		t.Errorf("it is told as %+v", events)
	}
	if reason, message := messageOf(status, v1alpha1.ReconcilingCondition); reason != v1alpha1.ReasonRepairing || message != note {
		t.Errorf("the pool says %s: %s", reason, message)
	}
}

// A node that is rebooted is one of those that are unavailable: no other is changed beside it.
func TestNoOtherNodeIsChangedBesideARung(t *testing.T) {
	for _, c := range []struct {
		rung v1alpha1.RepairRung
		most string
		want []int64
	}{{"", "1", []int64{0}}, {reboots, "1", nil}, {reboots, "2", []int64{0}}} {
		ill := map[int64][]func(*clusterv1.Machine){}
		if c.rung != "" {
			ill[1] = append(ill[1], sick(50))
		}
		s := repairSnapshot(3, "", ill, climbs(reboots), mayMiss(c.most))
		for _, agent := range s.Agents {
			agent.Spec.Revision, agent.Status.CurrentRevision = "r0", "r0"
		}
		result := Plan(s)
		if got := result.Of(Treat); len(got) > 0 != (c.rung != "") {
			t.Errorf("%+v: rungs are taken: %v", c, got)
		}
		if got := ordinals(result, Update); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
			t.Errorf("%+v: %v are changed", c, got)
		}
	}
}

// One machine on its way up the ladder is one attempt.
func TestTheRungsOfAMachineAreOneAttempt(t *testing.T) {
	ill := map[int64][]func(*clusterv1.Machine){1: {sick(10)}}
	s := repairSnapshot(3, "", ill, climbs(restarts, reboots, anew), isTreating(1, reboots, 40))
	isAskedFor(reboots, 40)(s.Agents[newMachine(1).Name])
	s.Pool.Status.Repair.Current.Attempt = 2
	if got := Plan(s).Repair; got == nil || got.Rung != anew || got.Attempt != 2 {
		t.Errorf("got %+v, want the second attempt", got)
	}
}

// TestWhatIsPassedOverIsSaid, and why: somebody may wonder why a machine was replaced at once.
func TestWhatIsPassedOverIsSaid(t *testing.T) {
	for what, c := range map[string]struct {
		machine func(*clusterv1.Machine)
		ladder  []v1alpha1.RepairRung
		want    string
	}{
		"not done":     {sick(50), rungs, "; its agent says of Reboot: Expired, it was late"},
		"silent":       {dead(50), rungs, "; it is not asked for RestartComponent and Reboot, as its agent is not heard"},
		"off":          {since(50, agentIll, nodeReady, infraSays(v1alpha1.ReasonStopped)), []v1alpha1.RepairRung{reboots, anew}, "; it is not asked for Reboot, as it is off"},
		"never a node": {stillborn, rungs, ""},
		"heard":        {sick(50), []v1alpha1.RepairRung{anew}, ""},
	} {
		s := repairSnapshot(3, "", map[int64][]func(*clusterv1.Machine){1: {c.machine}}, climbs(c.ladder...))
		if agent := s.Agents[newMachine(1).Name]; what == "not done" {
			isAskedFor(reboots, 40)(agent)
			answered(agent)
			agent.Status.Repair.State, agent.Status.Repair.Message = v1alpha1.RepairExpired, "it was late"
		}
		plan := Plan(s)
		if len(plan.Actions) != 1 || plan.Actions[0].Rung != anew {
			t.Errorf("%s: it does %v", what, plan.Actions)
			continue
		}
		if got := plan.Actions[0].Reason; strings.Contains(got, ";") != (c.want != "") || !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: it is replaced as %q, want it to end with %q", what, got, c.want)
		}
	}
}

// TestWhatIsSaidOfARung to somebody who asks why a machine is as it is.
func TestWhatIsSaidOfARung(t *testing.T) {
	for ladder, want := range map[v1alpha1.RepairRung]string{
		restarts: "its components are to be restarted",
		reboots:  "it is rebooted at 2026-01-01T01:02:00Z unless it recovers",
		anew:     "it is replaced at 2026-01-01T01:07:00Z unless it recovers",
		"":       "nothing more is done about it, as spec.repair.ladder has nothing that could help",
	} {
		s := repairSnapshot(3, "", map[int64][]func(*clusterv1.Machine){1: {sick(57)}}, climbs(ladder))
		if ladder == restarts {
			s.Now = s.Now.Add(time.Minute)
		}
		standing := Standing{newMachine(1).Name, "is unhealthy since 2026-01-01T00:57:00Z: its agent: RepairExhausted; " + want}
		if got := Explain(s).Machines; !slices.Contains(got, standing) {
			t.Errorf("%s: it says %+v, want %+v", ladder, got, standing)
		}
	}
}
