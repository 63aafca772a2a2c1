package nodepool_test

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestAMachineIsTakenUpTheLadder by requests to its agent, each of which the pool's status has before, and which nothing writes over.
func TestAMachineIsTakenUpTheLadder(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("climbing", 3)
	f.pool.Spec.Repair.Ladder = []v1alpha1.RepairRung{v1alpha1.RepairRestartComponent, v1alpha1.RepairReboot, v1alpha1.RepairReplace}
	clock := clocktesting.NewFakePassiveClock(time.Now())
	crashes := false
	crashing := interceptor.NewClient(f.watcher(), interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
		if agent, is := o.(*v1alpha1.NodeAgent); is && crashes && agent.Spec.Repair != nil {
			crashes = false
			return errors.New("the manager died")
		}
		return c.Patch(ctx, o, patch, options...)
	}})
	manager := f.reconciler(crashing)
	manager.Clock = clock
	f.create(f.pool)
	f.eventually("all is as the pool wants it", func() error { f.round(manager); f.play(); return f.updated(3) })
	for _, m := range f.machines() {
		f.says(m, clock.Now(), metav1.ConditionTrue, metav1.ConditionTrue)
	}
	f.round(manager)

	ill := f.machines()[1]
	f.says(ill, clock.Now(), metav1.ConditionFalse, metav1.ConditionTrue)
	agent := &v1alpha1.NodeAgent{}
	// asked lets time pass until the machine's agent is asked for a rung, and says for which, and after how long.
	asked := func(most time.Duration) (v1alpha1.RepairRung, time.Duration) {
		t.Helper()
		before := agent.Spec.Repair.DeepCopy()
		for began := clock.Now(); clock.Now().Sub(began) <= most; {
			result, err := manager.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.pool)})
			if err != nil && err.Error() != "ask NodeAgent "+ill.Name+" for RestartComponent: the manager died" {
				t.Fatal(err)
			}
			if err := f.Client.Get(t.Context(), client.ObjectKey{Name: ill.Name}, agent); err != nil {
				t.Fatal(err)
			}
			if r := agent.Spec.Repair; r != nil && (before == nil || !r.RequestedAt.Equal(&before.RequestedAt)) {
				return r.Rung, clock.Now().Sub(began)
			}
			clock.SetTime(clock.Now().Add(cmp.Or(min(result.RequeueAfter, 30*time.Second), time.Second)))
		}
		return "", 0
	}
	crashes = true
	rung, after := asked(3 * time.Minute)
	if rung != v1alpha1.RepairRestartComponent || after < 2*time.Minute || crashes {
		t.Fatalf("it is asked for %q after %s, or nobody died (%t)", rung, after, crashes)
	}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil {
		t.Fatal(err)
	}
	if current := f.pool.Status.Repair.Current; current == nil || current.MachineUID != string(ill.UID) || current.Rung != rung || !current.StartedAt.Equal(&agent.Spec.Repair.RequestedAt) {
		t.Errorf("the pool says %+v, and the agent is asked for %+v", current, agent.Spec.Repair)
	}
	f.play() // The agent has heard of it.
	if rung, after = asked(6 * time.Minute); rung != v1alpha1.RepairReboot || after < 4*time.Minute+55*time.Second {
		t.Fatalf("it is asked for %q next, after %s", rung, after)
	}
	f.play()
	f.says(f.machines()[1], clock.Now(), metav1.ConditionTrue, metav1.ConditionTrue)
	if rung, _ = asked(time.Hour / 2); rung != "" {
		t.Errorf("it is asked for %s when it is well", rung)
	}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil || f.pool.Status.Repair.Current != nil {
		t.Errorf("a repair is under way when all are well: %+v, %v", f.pool.Status.Repair.Current, err)
	}
	f.says(f.machines()[1], clock.Now(), metav1.ConditionFalse, metav1.ConditionTrue)
	if rung, _ = asked(11 * time.Minute); rung != "" || len(f.machines()) > 0 && f.machines()[1].DeletionTimestamp.IsZero() {
		t.Errorf("within the hour it is asked for %q, and not replaced", rung)
	}
}
