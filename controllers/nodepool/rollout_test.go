package nodepool_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestSeveralNodesAreChangedAtOnce where so many may be unavailable, and never more.
func TestSeveralNodesAreChangedAtOnce(t *testing.T) {
	f := startFleet(t, "several", 5)
	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		mayMiss("40%")(p)
		maxPods(42)(p)
	})
	most := 0
	f.eventually("all run the new template", func() error {
		names := f.underWay()
		if most = max(most, len(names)); most > 2 {
			t.Fatalf("%v are changed at once", names)
		}
		f.play()
		return f.updated(5)
	})
	if most != 2 {
		t.Errorf("never more than %d nodes were changed at once", most)
	}
}

// TestARolloutThatFailsOnOneNodeIsTakenBackFromTheOthers, and is not tried again by itself.
func TestARolloutThatFailsOnOneNodeIsTakenBackFromTheOthers(t *testing.T) {
	f := startFleet(t, "reverted", 3)
	first := f.pool.Status.Revision
	last := f.agents()[2].Name
	f.refuses = func(a *v1alpha1.NodeAgent) bool { return a.Name == last && ptr.Deref(a.Spec.Kubelet.MaxPods, 0) == 43 }
	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		p.Spec.Rollout.OnFailure = v1alpha1.RolloutOnFailureRollback
		maxPods(43)(p)
	})
	mostUpdated := int32(0)
	f.eventually("all run again what they ran before", func() error {
		f.play()
		if err := f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack); err != nil {
			mostUpdated = max(mostUpdated, ptr.Deref(f.pool.Status.UpdatedReplicas, 0))
			return err
		}
		if names := f.underWay(); len(names) > 1 {
			t.Fatalf("%v are changed at once", names)
		}
		if rollout := f.pool.Status.Rollout; rollout == nil || rollout.Phase != v1alpha1.RolloutPhaseRolledBack {
			return fmt.Errorf("the rollout is %+v", rollout)
		}
		return nil
	})
	if mostUpdated == 0 {
		t.Error("no node ran the template before one went back: nothing was taken back")
	}
	for _, a := range f.agents() {
		if a.Spec.Revision != first || a.Status.Phase != v1alpha1.PhaseCommitted {
			t.Errorf("%s is to run %s and is %s, want %s", a.Name, a.Spec.Revision, a.Status.Phase, first)
		}
	}
	failed, message := f.pool.Status.Rollout.Failed, meta.FindStatusCondition(f.pool.Status.Conditions, v1alpha1.StalledCondition).Message
	if failed == nil || failed.Machine != last || failed.PreviousRevision != first || !strings.Contains(message, "no room for that many pods") || !strings.Contains(message, last) {
		t.Errorf("given up is %+v, and the pool says %q", failed, message)
	}
	update(f.site, f.pool, maxPods(44))
	f.eventually("another template is tried", func() error {
		f.play()
		return f.updated(3)
	})
	if failed := f.pool.Status.Rollout.Failed; failed != nil {
		t.Errorf("what was given up is still %+v", failed)
	}
}
