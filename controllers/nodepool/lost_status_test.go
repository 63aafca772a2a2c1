package nodepool_test

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
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

	s.changeStatus(pool, func(status *v1alpha1.NodePoolStatus) { *status = v1alpha1.NodePoolStatus{} })
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1) })
	s.eventually("one machine is made under a new name", func() error {
		next := &clusterv1.Machine{}
		return errors.Join(s.counts(1, 0), s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.MachineName(pool, 2)}, next))
	})

	// Who takes the record away has it put back, as long as there is the status to tell.
	update(s, pool, func(p *v1alpha1.NodePool) { delete(p.Annotations, v1alpha1.NextOrdinalAnnotation) })
	s.eventually("the record is put back", func() error {
		if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if got := pool.Annotations[v1alpha1.NextOrdinalAnnotation]; got != "3" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}
