package nodepool_test

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// checked has a MachineHealthCheck write what it finds of a machine, as Cluster API's does.
func (f *fleet) checked(m clusterv1.Machine, at time.Time, healthy metav1.ConditionStatus, owner ...metav1.Condition) {
	f.t.Helper()
	found := metav1.Condition{Type: clusterv1.MachineHealthCheckSucceededCondition, Status: healthy, Reason: "Test", Message: "Health check failed:\n  * it smells"}
	f.writes(&m, at, append(owner, found)...)
}

// TestAMachineIsReplacedThatAHealthCheckAsksFor in a pool that asks for no repair itself, and whoever asks is told what comes of it.
func TestAMachineIsReplacedThatAHealthCheckAsksFor(t *testing.T) {
	f := &fleet{site: newSite(t), refuses: func(*v1alpha1.NodeAgent) bool { return false }, deaf: map[string]bool{}}
	f.pool = f.site.pool("remediated", 3)
	f.pool.Spec.Template.Spec.InfrastructureRef.Kind = "HostMachineTemplate"
	servers := &v1alpha1.HostMachineTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: f.template}}
	servers.Spec.Template.Spec.HostSelector.MatchLabels = map[string]string{"rack": "b7"}
	f.create(servers)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	recovers := false
	manager := f.reconciler(interceptor.NewClient(f.watcher(), interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
		if machine := (&clusterv1.Machine{}); recovers && c.Get(ctx, client.ObjectKeyFromObject(o), machine) == nil {
			recovers = false // in the very moment in which it is to go
			f.checked(*machine, clock.Now(), metav1.ConditionTrue)
		}
		return c.Delete(ctx, o, options...)
	}}))
	manager.Clock = clock
	f.create(f.pool)
	f.eventually("all is as the pool wants it", func() error { f.round(manager); f.play(); return f.updated(3) })
	waiting := metav1.Condition{Type: clusterv1.MachineOwnerRemediatedCondition, Status: metav1.ConditionFalse, Reason: clusterv1.MachineOwnerRemediatedWaitingForRemediationReason}
	passes := func(seconds int) {
		t.Helper()
		for range seconds / 10 {
			clock.SetTime(clock.Now().Add(10 * time.Second))
			f.round(manager)
		}
	}
	answer := func(m *clusterv1.Machine) string {
		t.Helper()
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
			t.Fatal(err)
		}
		c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition)
		if c == nil {
			return ""
		}
		return string(c.Status) + " " + c.Reason + ": " + c.Message
	}
	edit := func(paused bool) {
		t.Helper()
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil {
			t.Fatal(err)
		}
		f.pool.Spec.Paused = ptr.To(paused)
		if err := f.Client.Update(t.Context(), f.pool); err != nil {
			t.Fatal(err)
		}
	}

	edit(true)
	sick := f.machines()[1]
	f.checked(sick, clock.Now(), metav1.ConditionFalse, waiting)
	passes(50)
	if got := answer(&sick); got != "False WaitingForRemediation: " {
		t.Errorf("before its minute is over it is said: %s", got)
	}
	passes(20)
	if got := answer(&sick); got != "False RemediationDeferred: Waits to be replaced: spec.paused is set" {
		t.Errorf("of the paused pool it is said: %s", got)
	}
	version := sick.ResourceVersion
	passes(30)
	if answer(&sick); sick.ResourceVersion != version {
		t.Error("it is said again and again")
	}
	f.checked(sick, clock.Now(), metav1.ConditionTrue)
	f.round(manager)
	if got := answer(&sick); got != "" {
		t.Errorf("when nobody asks any more it is said: %s", got)
	}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil || f.pool.Status.Repair != nil {
		t.Errorf("when nobody asks any more the pool has %+v (%v)", f.pool.Status.Repair, err)
	}

	edit(false)
	f.checked(sick, clock.Now(), metav1.ConditionFalse, waiting)
	recovers = true
	passes(90) // Each of two marks is taken back by a round of its own.
	if got := answer(&sick); got != "" || recovers || !sick.DeletionTimestamp.IsZero() || len(sick.Annotations[v1alpha1.QuarantineAnnotation]) > 0 {
		t.Errorf("it recovered (%t), is deleted at %s, and it is said: %s; its Host: %v", recovers, sick.DeletionTimestamp, got, sick.Annotations)
	}
	f.checked(sick, clock.Now(), metav1.ConditionFalse, waiting)
	passes(70)
	if got := answer(&sick); got != "False MachineDeleting: Machine is deleted, and another one is made" || sick.DeletionTimestamp.IsZero() {
		t.Errorf("it is deleted at %s, and it is said: %s", sick.DeletionTimestamp, got)
	}
	if got := sick.Annotations[v1alpha1.QuarantineAnnotation]; !strings.HasPrefix(got, "its machine was replaced: it is unhealthy since ") {
		t.Errorf("of its Host it says %q", got)
	}
	if err := f.hasCondition(f.pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonRepairing); err != nil {
		t.Error(err)
	}
	f.eventually("another one is in its place", func() error { f.round(manager); f.play(); return f.updated(3) })
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(&sick), &sick); !apierrors.IsNotFound(err) {
		t.Errorf("the old one is there: %v", err)
	}
}
