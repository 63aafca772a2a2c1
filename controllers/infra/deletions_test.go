package infra

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// ends are how an object goes: what the cache then says of it.
var ends = map[string]func(s *stage, m *v1alpha1.LocalMachine){
	"deleted": func(s *stage, m *v1alpha1.LocalMachine) {
		wanted, deleted := m.DeepCopy(), m.DeepCopy()
		wanted.DeletionTimestamp, deleted.DeletionTimestamp = nil, &metav1.Time{Time: start}
		s.deletions.handler().Update(s.t.Context(), event.UpdateEvent{ObjectOld: wanted, ObjectNew: deleted}, nil)
	},
	"removed by force": func(s *stage, m *v1alpha1.LocalMachine) {
		s.deletions.handler().Delete(s.t.Context(), event.DeleteEvent{Object: m}, nil)
	},
}

func TestAMachineThatIsDeletedIsMadeNoFurther(t *testing.T) {
	for how, end := range ends {
		s := newStage(t)
		s.provider.began = make(chan context.Context)
		type ended struct {
			ctrl.Result
			error
		}
		result := make(chan ended, 1)
		go func() {
			r, err := s.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
			result <- ended{r, err}
		}()
		working := <-s.provider.began
		m := s.machine()
		relabelled := m.DeepCopy()
		relabelled.Labels = map[string]string{"moved": "yes"}
		s.deletions.handler().Update(t.Context(), event.UpdateEvent{ObjectOld: m, ObjectNew: relabelled}, nil)
		if working.Err() != nil {
			t.Errorf("a machine is made no further after an edit: %v", working.Err())
		}
		end(s, m)
		if got := <-result; got.error != nil || got.RequeueAfter == 0 {
			t.Errorf("of a machine that is %s, the look ends with %v, and comes again after %s", how, got.error, got.RequeueAfter)
		}
		if c := s.ready(); c.Reason != "" || len(s.events.Events) > 0 {
			t.Errorf("of a machine that is %s, it is told that it was stopped: %+v", how, c)
		}
		if len(s.deletions.busy) > 0 {
			t.Errorf("of a machine that is %s, it is remembered that it was worked on", how)
		}
	}
}

func TestARemovalIsNotEndedByTheDeletionThatBeganIt(t *testing.T) {
	for how, end := range ends {
		s := newStage(t, func(m *v1alpha1.LocalMachine) {
			m.DeletionTimestamp, m.Finalizers, m.OwnerReferences = &metav1.Time{Time: start}, []string{(&slowProvider{}).Kind().Finalizer}, nil
		})
		ended, called := error(nil), false
		s.provider.removal = Removal{Gone: true}
		s.provider.removing = func(ctx context.Context) {
			end(s, s.machine())
			ended, called = ctx.Err(), true
		}
		s.reconcile()
		if ended != nil || !called || !s.gone() {
			t.Errorf("the removal of a machine that is %s was begun: %t, ended: %v, and it is gone: %t", how, called, ended, s.gone())
		}
	}
}
