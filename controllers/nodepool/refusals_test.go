package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// overQuota may make Machines while there are fewer than so many.
type overQuota struct {
	client.Client
	*site
	most, tried int
}

func (q *overQuota) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if _, isMachine := object.(*clusterv1.Machine); isMachine && len(q.machines()) >= q.most {
		q.tried++
		return apierrors.NewForbidden(schema.GroupResource{Group: "cluster.x-k8s.io", Resource: "machines"}, "", errors.New("exceeded quota"))
	}
	return q.Client.Create(ctx, object, opts...)
}

// TestRefusedCreates are not tried for each machine of a batch, nor at each event.
func TestRefusedCreates(t *testing.T) {
	s := newSite(t)
	quota := &overQuota{Client: s.Client, site: s}
	r := s.reconciler(quota)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	r.Clock = clock
	pool := s.pool("workers", 5)
	s.create(pool)
	for _, step := range []struct {
		reason string
		change func()
		tried  int
	}{
		{"the first refusal ends the batch", func() {}, 1},
		{"an event a moment later tries nothing", func() { clock.SetTime(clock.Now().Add(time.Second)) }, 1},
		{"half a minute later it may be over", func() { clock.SetTime(clock.Now().Add(30 * time.Second)) }, 2},
		{"another spec is another question", func() { update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](4) }) }, 3},
	} {
		step.change()
		result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)})
		if err != nil || result.RequeueAfter < leastRetry || result.RequeueAfter > 30*time.Second {
			t.Errorf("%s: again after %s, error %v", step.reason, result.RequeueAfter, err)
		}
		if quota.tried != step.tried || len(s.localMachines()) != 1 {
			t.Errorf("%s: %d Machines were tried, not %d, and %d infrastructure machines are there", step.reason, quota.tried, step.tried, len(s.localMachines()))
		}
		if err := s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonMachineCreateFailed); err != nil {
			t.Errorf("%s: %v", step.reason, err)
		}
	}
}

// TestAMachineThatLeavesIsLetGoAtTheQuota, for until it is gone no other can take its place.
func TestAMachineThatLeavesIsLetGoAtTheQuota(t *testing.T) {
	s := newSite(t)
	r := s.reconciler(&overQuota{Client: s.Client, site: s, most: 2})
	clock := clocktesting.NewFakePassiveClock(time.Now())
	r.Clock = clock
	pool := s.pool("workers", 5)
	s.create(pool)
	rounds := func() {
		for range 5 {
			s.clusterAPI()
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
				t.Fatal(err)
			}
			clock.SetTime(clock.Now().Add(31 * time.Second))
		}
	}
	rounds()
	first := s.machines()
	if len(first) != 2 {
		t.Fatalf("%d machines were made, want as many as the quota allows", len(first))
	}
	if err := s.Client.Delete(t.Context(), &first[0]); err != nil {
		t.Fatal(err)
	}
	rounds()
	now := s.machines()
	if len(now) != 2 || now[0].Name == first[0].Name || now[1].Name == first[0].Name {
		t.Errorf("machines are %v and %v, want another one in the place of %s", now[0].Name, now[1].Name, first[0].Name)
	}
}

// TestAForeignObjectOfANeededNameStallsThePool and keeps no other machine from being made, until somebody deletes it.
func TestAForeignObjectOfANeededNameStallsThePool(t *testing.T) {
	for _, kind := range []string{"LocalMachine", "Machine"} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			clock := clocktesting.NewFakePassiveClock(time.Now())
			r := s.reconciler(s.Client)
			r.Clock = clock
			pool := s.pool("workers", 3)
			s.create(pool)
			var foreign client.Object = &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: v1alpha1.MachineName(pool, 0)}}
			if kind == "Machine" {
				machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: v1alpha1.MachineName(pool, 0)}}
				machine.Spec.ClusterName = "another"
				machine.Spec.Bootstrap.DataSecretName = ptr.To("none")
				machine.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: "LocalMachine", Name: "none"}
				foreign = machine
			}
			s.create(foreign)
			round := func() {
				t.Helper()
				result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)})
				if err != nil || result.RequeueAfter > 30*time.Second {
					t.Fatalf("again after %s, error %v", result.RequeueAfter, err)
				}
			}
			for range 2 {
				round()
				if err := s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonMachineCreateFailed); err != nil {
					t.Fatal(err)
				}
				want := fmt.Sprintf("%s: %s %s exists and is not this pool's: delete it if nothing uses it", foreign.GetName(), kind, foreign.GetName())
				if said := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.StalledCondition).Message; !strings.Contains(said, want) {
					t.Errorf("the pool says %q, want %q", said, want)
				}
			}
			if got := ptr.Deref(pool.Status.Replicas, 0); got != 2 {
				t.Errorf("%d machines were made, want the two of other names", got)
			}

			if err := s.Client.Delete(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			clock.SetTime(clock.Now().Add(30 * time.Second))
			round()
			if err := s.hasCondition(pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonWaitingForMachines); err != nil || ptr.Deref(pool.Status.Replicas, 0) != 3 {
				t.Errorf("the pool goes on when it is gone: %v, %d machines", err, ptr.Deref(pool.Status.Replicas, 0))
			}
		})
	}
}
