package nodepool_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/sides"
)

// changeStatus changes a pool's status as somebody else would, whatever it is at that moment.
func (s *site) changeStatus(pool *v1alpha1.NodePool, edit func(*v1alpha1.NodePoolStatus)) {
	s.t.Helper()
	s.eventually("the status takes somebody's change", func() error {
		if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		edit(&pool.Status)
		return s.Client.Status().Update(s.t.Context(), pool)
	})
}

func TestAStatusThatSomebodyChangedIsPutRight(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 2)
	s.create(pool)
	s.eventually("the pool is ready", func() error {
		s.clusterAPI()
		return s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady)
	})

	for what, edit := range map[string]func(*v1alpha1.NodePoolStatus){
		"the whole is removed":         func(status *v1alpha1.NodePoolStatus) { *status = v1alpha1.NodePoolStatus{} },
		"it says that none is ready":   func(status *v1alpha1.NodePoolStatus) { status.ReadyReplicas = ptr.To[int32](0) },
		"the next ordinal is set back": func(status *v1alpha1.NodePoolStatus) { status.NextOrdinal = ptr.To[int64](0) },
		"the conditions are removed":   func(status *v1alpha1.NodePoolStatus) { status.Conditions = nil },
	} {
		s.changeStatus(pool, edit)
		s.eventually("after "+what+" it is as it was", func() error {
			if err := s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady); err != nil {
				return err
			}
			if ptr.Deref(pool.Status.ReadyReplicas, 0) != 2 || ptr.Deref(pool.Status.NextOrdinal, 0) != 2 || pool.Status.Revision == "" {
				return fmt.Errorf("got %+v", pool.Status)
			}
			return nil
		})
	}
}

func TestNoNameIsUsedTwiceAlsoWhenTheStatusIsLost(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 2)
	s.create(pool)
	s.eventually("two machines are made", func() error { return s.counts(2, 0) })
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](0) })
	s.eventually("none is left", func() error {
		s.clusterAPI()
		return errors.Join(s.counts(0, 0), s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady))
	})

	revision := pool.Status.Revision

	s.changeStatus(pool, func(status *v1alpha1.NodePoolStatus) { *status = v1alpha1.NodePoolStatus{} })
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1) })
	s.eventually("one machine is made under a new name", func() error {
		next := &clusterv1.Machine{}
		return errors.Join(s.counts(1, 0), s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.MachineName(pool, 2)}, next))
	})

	// An old status put back is no reason either to use its names again. This one says that both are about to be made.
	s.changeStatus(pool, func(status *v1alpha1.NodePoolStatus) {
		status.NextOrdinal, status.Reserved = ptr.To[int64](2), &v1alpha1.OrdinalRange{First: ptr.To[int64](0), Count: 2, Revision: revision}
	})
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](2) })
	s.eventually("the second machine has a new name, too", func() error {
		next := &clusterv1.Machine{}
		return errors.Join(s.counts(2, 0), s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.MachineName(pool, 3)}, next))
	})

	// Who takes the record away has it put back, as long as there is the status to tell.
	update(s, pool, func(p *v1alpha1.NodePool) { delete(p.Annotations, v1alpha1.NextOrdinalAnnotation) })
	s.eventually("the record is put back", func() error {
		if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if got := pool.Annotations[v1alpha1.NextOrdinalAnnotation]; got != "4" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// TestAnOldReservationIsNotMadeAgain though nothing in the pool tells it from one that is open: its machines are known
// to be gone.
func TestAnOldReservationIsNotMadeAgain(t *testing.T) {
	s := newSite(t)
	pool, r := s.pool("workers", 3), s.reconciler(s.Client)
	pool.Spec.Replicas = ptr.To[int32](0)
	s.create(pool)
	round := func() {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			t.Fatal(err)
		}
	}
	round()
	list := fence.List{Workload: sides.Side{Client: s.Client, Live: s.Client}}
	if err := list.Add(t.Context(), v1alpha1.MachineName(pool, 0)); err != nil {
		t.Fatal(err)
	}
	revision := pool.Status.Revision
	s.create(&v1alpha1.NodeAgent{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.MachineName(pool, 1), Labels: map[string]string{v1alpha1.PoolUIDLabel: string(pool.UID)}},
		Spec: v1alpha1.NodeAgentSpec{Revision: revision, Version: s.version, Artifacts: bundle("x", s.version).Spec.Artifacts,
			Cluster: v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "x", ClientCA: "x"}},
	})
	update(s, pool, func(p *v1alpha1.NodePool) {
		p.Spec.Replicas, p.Annotations = ptr.To[int32](3), map[string]string{v1alpha1.NextOrdinalAnnotation: "3"}
	})
	s.changeStatus(pool, func(status *v1alpha1.NodePoolStatus) {
		status.NextOrdinal, status.Reserved = ptr.To[int64](3), &v1alpha1.OrdinalRange{First: ptr.To[int64](0), Count: 3, Revision: revision}
	})
	for range 3 {
		round()
	}
	var names []string
	for _, m := range s.machines() {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	want := []string{v1alpha1.MachineName(pool, 2), v1alpha1.MachineName(pool, 3), v1alpha1.MachineName(pool, 4)}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names of machines that are gone are used again (-want +got):\n%s", diff)
	}
}
