package nodepool_test

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
	"github.com/drover-dev/drover/controllers/planner"
)

// unwritten is a manager whose writes of a status fail so, as long as there are failures left. What is tried comes before that.
func (s *site) unwritten(failures *int, failure error, tried func(client.Object, client.Patch, client.Client) error) *nodepool.Reconciler {
	return s.reconciler(interceptor.NewClient(s.watcher(), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, inner client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if *failures == 0 {
				return inner.SubResource(sub).Patch(ctx, o, p, opts...)
			}
			*failures--
			if err := tried(o, p, inner); err != nil {
				return err
			}
			return failure
		},
	}))
}

func nothing(client.Object, client.Patch, client.Client) error { return nil }

var somebodyWroteIt = apierrors.NewConflict(schema.GroupResource{Resource: "nodepools"}, "workers", errors.New("somebody wrote it"))

func TestAConditionIsToldOnceAlsoWhenTheStatusCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		reason  string
		failure error
		tried   func(client.Object, client.Patch, client.Client) error
	}{
		{"somebody else writes first", somebodyWroteIt, nothing},
		{"the connection is lost before the write", errors.New("connection reset"), nothing},
		{"the connection is lost after the write", errors.New("connection reset"), func(o client.Object, p client.Patch, c client.Client) error {
			return c.Status().Patch(context.Background(), o, p)
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newSite(t)
			pool := s.pool("workers", 1)
			pool.Spec.Template.Spec.Bundle = "none"
			s.create(pool)
			failures := 2
			manager := s.unwritten(&failures, c.failure, c.tried)
			var told []string
			for round := range 5 {
				if _, err := manager.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil && (round > 1 || !errors.Is(err, c.failure)) {
					t.Fatal(err)
				}
				told = append(told, eventsOf(manager, v1alpha1.ReasonBundleNotFound)...)
				if failures > 0 && apierrors.IsConflict(c.failure) && len(told) > 0 {
					t.Errorf("it was told before the status says it: %v", told)
				}
			}
			if len(told) != 1 || failures == 2 {
				t.Errorf("it is told %d times, want once: %v", len(told), told)
			}
			if err := s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonBundleNotFound); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAConditionThatIsOverBeforeItIsWrittenIsNotTold(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 1)
	pool.Spec.Template.Spec.Version = s.another(98)
	s.create(pool)
	failures := 1
	manager := s.unwritten(&failures, somebodyWroteIt, nothing)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}
	if _, err := manager.Reconcile(t.Context(), request); err != nil || failures != 0 {
		t.Fatal(err)
	}
	s.create(bundle(s.another(98), s.another(98)))
	if _, err := manager.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if told := eventsOf(manager, v1alpha1.ReasonBundleNotFound); len(told) > 0 {
		t.Errorf("it is told: %v", told)
	}
}

func TestWhatWasDoneIsToldOnceAlsoWhenTheStatusCannotBeWritten(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 1)
	s.create(pool)
	failures := 0
	manager := s.unwritten(&failures, somebodyWroteIt, nothing)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}
	if _, err := manager.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	told := eventsOf(manager, v1alpha1.ReasonMachineCreated)
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](0) })
	failures = 1
	for range 3 {
		if _, err := manager.Reconcile(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	told = append(told, eventsOf(manager, v1alpha1.ReasonMachineDeleted)...)
	if len(told) != 2 || failures != 0 {
		t.Errorf("want one machine made and one deleted, got %v", told)
	}
}

func TestANameThatIsTakenIsToldOnceAlsoWhenTheStatusCannotBeWritten(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 1)
	s.create(pool)
	s.create(s.node(v1alpha1.MachineName(pool, 0)))
	failures, reserved := 1, false
	manager := s.reconciler(interceptor.NewClient(s.watcher(), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, inner client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if failures > 0 && reserved {
				failures--
				return somebodyWroteIt
			}
			reserved = true // by the first write
			return inner.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	}))
	for range 4 {
		if _, err := manager.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
			t.Fatal(err)
		}
	}
	if told := eventsOf(manager, v1alpha1.ReasonNodeNameTaken); len(told) != 1 || failures != 0 {
		t.Errorf("it is told %d times, want once: %v", len(told), told)
	}
	if err := s.counts(1, 0); err != nil {
		t.Error(err)
	}
}

func TestWhatIsDeferredIsToldOnceAlsoWhenTheStatusCannotBeWritten(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 1)
	pool.Spec.Paused = ptr.To(true)
	s.create(pool)
	failures := 2
	manager := s.unwritten(&failures, somebodyWroteIt, nothing)
	for range 4 {
		if _, err := manager.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
			t.Fatal(err)
		}
	}
	if told := eventsOf(manager, planner.DeferredPaused); len(told) != 1 || failures != 0 {
		t.Errorf("it is told %d times, want once: %v", len(told), told)
	}
}
