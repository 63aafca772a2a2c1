package nodepool_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

func TestRepairsThatTheAPIServerTakes(t *testing.T) {
	s := newSite(t)
	most := func(value string) v1alpha1.NodePoolRepair {
		return v1alpha1.NodePoolRepair{MaxUnhealthy: ptr.To(intstr.Parse(value))}
	}
	after := func(seconds int32) v1alpha1.NodePoolRepair {
		return v1alpha1.NodePoolRepair{Timeouts: v1alpha1.RepairTimeouts{ReplaceSeconds: &seconds}}
	}
	ladder := func(rungs ...v1alpha1.RepairRung) v1alpha1.NodePoolRepair {
		return v1alpha1.NodePoolRepair{Ladder: rungs}
	}
	for name, tc := range map[string]struct {
		repair v1alpha1.NodePoolRepair
		// refused is part of what the API server says; empty where it takes it.
		refused string
	}{
		"a ladder":              {ladder(v1alpha1.RepairReplace), ""},
		"a number":              {most("3"), ""},
		"a percentage":          {most("100%"), ""},
		"a minute":              {after(60), ""},
		"the whole ladder":      {ladder(v1alpha1.RepairRestartComponent, v1alpha1.RepairReboot, v1alpha1.RepairReplace), ""},
		"a part of it":          {ladder(v1alpha1.RepairReboot), ""},
		"another order":         {ladder(v1alpha1.RepairReplace, v1alpha1.RepairReboot), "the rungs come in the order RestartComponent, Reboot, Replace"},
		"a rung twice":          {ladder(v1alpha1.RepairReplace, v1alpha1.RepairReplace), "ladder[1]"},
		"a rung that is none":   {ladder("Pray"), "ladder[0]"},
		"none may be unhealthy": {most("0"), "with none, no machine would be repaired"},
		"no percent":            {most("0%"), "with none, no machine would be repaired"},
		"more than all":         {most("101%"), "with none, no machine would be repaired"},
		"less than a minute":    {after(59), "replaceSeconds"},
		"two after another":     {v1alpha1.NodePoolRepair{Ladder: []v1alpha1.RepairRung{v1alpha1.RepairReboot, v1alpha1.RepairReplace}, Timeouts: after(120).Timeouts}, ""},
		"less than two then":    {v1alpha1.NodePoolRepair{Ladder: []v1alpha1.RepairRung{v1alpha1.RepairReboot, v1alpha1.RepairReplace}, Timeouts: after(119).Timeouts}, "a machine that has rebooted would be replaced while it comes up"},
		"a reboot at once":      {v1alpha1.NodePoolRepair{Timeouts: v1alpha1.RepairTimeouts{RebootSeconds: ptr.To[int32](119)}}, "rebootSeconds"},
		"two days":              {after(172800), "replaceSeconds"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := s.pool("repairs", 1)
			pool.Spec.Repair = tc.repair
			err := s.Client.Create(t.Context(), pool, client.DryRunAll)
			switch {
			case tc.refused == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case tc.refused == "" && (pool.Spec.Repair.MaxUnhealthy == nil || ptr.Deref(pool.Spec.Repair.Timeouts.ReplaceSeconds, 0) == 0 && tc.repair.Timeouts.ReplaceSeconds != nil):
				t.Errorf("it has no defaults: %+v", pool.Spec.Repair)
			case tc.refused != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("got %v, want it refused with %q", err, tc.refused)
			}
		})
	}
}

// says has Cluster API and the nodeagent controller write of a machine that its agent and its Node are as they say.
func (f *fleet) says(m clusterv1.Machine, at time.Time, agent, node metav1.ConditionStatus) {
	f.t.Helper()
	m.Status.NodeRef.Name = m.Name
	ready := metav1.ConditionFalse
	if agent == metav1.ConditionTrue {
		ready = metav1.ConditionTrue
	}
	reasons := map[metav1.ConditionStatus]string{metav1.ConditionTrue: "Fine", metav1.ConditionFalse: v1alpha1.ReasonHung, metav1.ConditionUnknown: v1alpha1.ReasonNotReported}
	nodeReasons := map[metav1.ConditionStatus]string{metav1.ConditionTrue: clusterv1.MachineNodeReadyReason, metav1.ConditionUnknown: clusterv1.MachineNodeReadyUnknownReason}
	f.writes(&m, at,
		metav1.Condition{Type: clusterv1.MachineReadyCondition, Status: ready, Reason: "Test"}, metav1.Condition{Type: clusterv1.MachineAvailableCondition, Status: ready, Reason: "Test"},
		metav1.Condition{Type: v1alpha1.MachineAgentHealthyCondition, Status: agent, Reason: reasons[agent], Message: "its agent"},
		metav1.Condition{Type: clusterv1.MachineNodeReadyCondition, Status: node, Reason: nodeReasons[node]})
}

// writes has a Machine's status say conditions that are so since a time.
func (f *fleet) writes(m *clusterv1.Machine, at time.Time, conditions ...metav1.Condition) {
	f.t.Helper()
	for _, c := range conditions {
		c.LastTransitionTime = metav1.NewTime(at)
		meta.SetStatusCondition(&m.Status.Conditions, c)
	}
	if err := f.Client.Status().Update(f.t.Context(), m); err != nil {
		f.t.Fatal(err)
	}
}

// TestAMachineThatIsUnhealthyIsReplaced when it has been for as long as the pool says, as far as somebody was there to see.
func TestAMachineThatIsUnhealthyIsReplaced(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("repaired", 3)
	f.pool.Spec.Repair = v1alpha1.NodePoolRepair{Ladder: []v1alpha1.RepairRung{v1alpha1.RepairReplace}, Timeouts: v1alpha1.RepairTimeouts{ReplaceSeconds: ptr.To[int32](120)}}
	clock := clocktesting.NewFakePassiveClock(time.Now())
	recovers := false
	late := interceptor.NewClient(f.watcher(), interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
		if machine := (&clusterv1.Machine{}); recovers && c.Get(ctx, client.ObjectKeyFromObject(o), machine) == nil {
			recovers = false // in the very moment in which it is to go
			f.says(*machine, clock.Now(), metav1.ConditionTrue, metav1.ConditionTrue)
		}
		return c.Delete(ctx, o, options...)
	}})
	starts := func() *nodepool.Reconciler {
		manager := f.reconciler(late)
		manager.Clock = clock
		return manager
	}
	manager := starts()
	f.create(f.pool)
	f.eventually("all is as the pool wants it", func() error { f.round(manager); f.play(); return f.updated(3) })
	for _, m := range f.machines() {
		f.says(m, clock.Now(), metav1.ConditionTrue, metav1.ConditionTrue)
	}
	f.round(manager)

	// passes lets time pass, with rounds as often as the manager asks for them.
	passes := func(seconds int) (deleted string) {
		t.Helper()
		for until := clock.Now().Add(time.Duration(seconds) * time.Second); clock.Now().Before(until); {
			result, err := manager.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range f.machines() {
				if !m.DeletionTimestamp.IsZero() {
					return m.Name
				}
			}
			clock.SetTime(clock.Now().Add(cmp.Or(result.RequeueAfter, 30*time.Second)))
		}
		return ""
	}
	dead := f.machines()[1]
	f.says(dead, clock.Now(), metav1.ConditionUnknown, metav1.ConditionUnknown)
	if got := passes(100); got != "" {
		t.Fatalf("%s is replaced before its time", got)
	}
	clock.SetTime(clock.Now().Add(10 * time.Minute)) // in which nobody was there
	if got := passes(100); got != "" {
		t.Fatalf("%s is replaced for a time in which nobody listened", got)
	}
	manager = starts() // which knows nothing of that
	if got := passes(100); got != "" {
		t.Fatalf("%s is replaced by a manager that has just started", got)
	}
	recovers = true
	if got := passes(60); got != "" || recovers {
		t.Fatalf("%q is replaced, which has recovered, or nobody tried (%t)", got, recovers)
	}
	f.says(f.machines()[1], clock.Now(), metav1.ConditionUnknown, metav1.ConditionUnknown)
	if got := passes(100) + passes(60); got != dead.Name {
		t.Fatalf("%q is replaced, want %s", got, dead.Name)
	}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil {
		t.Fatal(err)
	}
	if current := f.pool.Status.Repair.Current; current == nil || current.Machine != dead.Name || current.MachineUID != string(dead.UID) || current.Attempt != 1 {
		t.Errorf("the pool says %+v", f.pool.Status.Repair)
	}
	if err := f.hasCondition(f.pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonRepairing); err != nil {
		t.Error(err)
	}
	f.eventually("another one is in its place", func() error {
		f.round(manager)
		f.play()
		if err := f.updated(3); err != nil {
			return err
		}
		if r := f.pool.Status.Repair; r.Current != nil || ptr.Deref(r.Unhealthy, -1) != 0 {
			return fmt.Errorf("the pool says %+v", r)
		}
		return nil
	})

	// All of them fall silent: a partition.
	for _, m := range f.machines() {
		f.says(m, clock.Now(), metav1.ConditionUnknown, metav1.ConditionUnknown)
	}
	if got := passes(3600); got != "" {
		t.Fatalf("%s is replaced while nothing is heard of any", got)
	}
	if err := f.hasCondition(f.pool, v1alpha1.RepairFrozenCondition, v1alpha1.ReasonNothingHeard); err != nil {
		t.Error(err)
	}
}
