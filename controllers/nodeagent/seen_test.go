package nodeagent

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/sides"
)

// none are the facts of a cluster that nothing is known of.
type none struct{}

func (none) Discover(context.Context) (v1alpha1.ClusterSettings, error) {
	return v1alpha1.ClusterSettings{}, nil
}

func (none) Update(_ context.Context, has v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error) {
	return has, nil
}

// TestAMachineIsAwaitedFromWhenItIsFirstSeen and not from when the API server's clock, which is an hour behind ours or
// ahead of it, says that it was made.
func TestAMachineIsAwaitedFromWhenItIsFirstSeen(t *testing.T) {
	for _, apart := range []time.Duration{-time.Hour, time.Hour} {
		scheme := runtime.NewScheme()
		for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme} {
			if err := add(scheme); err != nil {
				t.Fatal(err)
			}
		}
		pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers", UID: "pool"}}
		name := v1alpha1.MachineName(pool, 0)
		machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "machine", CreationTimestamp: metav1.NewTime(made.Add(apart)),
			Labels: map[string]string{v1alpha1.PoolLabel: pool.Name, v1alpha1.PoolUIDLabel: string(pool.UID)}}}
		agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.MachineUIDLabel: "machine"}}}
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool, machine, agent).WithStatusSubresource(machine).Build()
		clock := clocktesting.NewFakePassiveClock(made)
		side := sides.Side{Client: c, Live: c}
		r := &Reconciler{Management: side, Workload: side, Facts: none{}, Recorder: events.NewFakeRecorder(8), Clock: clock}
		look := func() (ctrl.Result, *metav1.Condition) {
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(machine)})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(machine), machine); err != nil {
				t.Fatal(err)
			}
			return result, meta.FindStatusCondition(machine.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
		}
		if result, health := look(); health != nil || result.RequeueAfter != joinDeadline {
			t.Errorf("with clocks %s apart, a new machine has %+v and is looked at after %s, want that after %s", apart, health, result.RequeueAfter, joinDeadline)
		}
		clock.SetTime(made.Add(joinDeadline))
		if _, health := look(); health == nil || health.Reason != v1alpha1.ReasonNotReported || health.Status != metav1.ConditionFalse {
			t.Errorf("with clocks %s apart, a machine of which nothing was heard for %s has %+v", apart, joinDeadline, health)
		}
	}
}
