package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/ownership"
	"github.com/drover-dev/drover/test/apiserver"
)

// startOwnership runs what puts back whose a Machine is, beside the nodepool controller.
func (s *site) startOwnership() *events.FakeRecorder {
	s.t.Helper()
	mgr, recorder := s.newManager(s.Config), events.NewFakeRecorder(1000)
	if err := (&ownership.Reconciler{Recorder: recorder}).SetupWithManager(s.t.Context(), mgr); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	apiserver.RunManager(ctx, s.t, mgr, cancel)
	return recorder
}

// settled says that the pool's status is about its spec and that it has so many machines.
func (s *site) settled(pool *v1alpha1.NodePool, machines int32) error {
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		return err
	}
	if got := ptr.Deref(pool.Status.Replicas, 0); pool.Status.ObservedGeneration != pool.Generation || got != machines {
		return fmt.Errorf("the status has %d machines, of generation %d of %d", got, pool.Status.ObservedGeneration, pool.Generation)
	}
	return s.counts(int(machines), 0)
}

// thefts are what somebody may do to a Machine that is still its pool's after it.
var thefts = map[string]func(*clusterv1.Machine){
	"the label with the pool's UID": func(m *clusterv1.Machine) { delete(m.Labels, v1alpha1.PoolUIDLabel) },
	"another pool's UID":            func(m *clusterv1.Machine) { m.Labels[v1alpha1.PoolUIDLabel] = "another" },
	"the label with the pool's name": func(m *clusterv1.Machine) {
		delete(m.Labels, v1alpha1.PoolLabel)
	},
	"all labels":          func(m *clusterv1.Machine) { m.Labels = nil },
	"the owners":          func(m *clusterv1.Machine) { m.OwnerReferences = nil },
	"the ordinal's hold":  func(m *clusterv1.Machine) { m.Finalizers = without(m.Finalizers, v1alpha1.OrdinalFinalizer) },
	"Cluster API's label": func(m *clusterv1.Machine) { delete(m.Labels, v1alpha1.WatchFilterLabel) },
	"name and owners": func(m *clusterv1.Machine) {
		delete(m.Labels, v1alpha1.PoolLabel)
		m.OwnerReferences = nil
	},
}

// TestAMachineThatLostItsLabelsCounts also before anybody puts these back: no other is made for it.
func TestAMachineThatLostItsLabelsCounts(t *testing.T) {
	s := newSite(t)
	s.startManager()
	for i, name := range slices.Sorted(maps.Keys(thefts)) {
		pool := s.pool(fmt.Sprintf("workers-%d", i), 1)
		s.create(pool)
		s.eventually("the machine is made", func() error { return s.settled(pool, 1) })
		machine := s.machines()[0]
		update(s, &machine, thefts[name])
		update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](3) })
		s.eventually("without "+name+": two more are made", func() error { return s.settled(pool, 3) })
		update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](0) })
		s.eventually("without "+name+": it goes with the others", func() error {
			s.clusterAPI()
			return s.settled(pool, 0)
		})
		if got := *pool.Status.NextOrdinal; got != 3 {
			t.Errorf("without %s: %d machines were made, want 3", name, got)
		}
	}
}

// TestWhatSaysWhoseAMachineIsIsPutBack, of a paused pool as well, and the pool is told.
func TestWhatSaysWhoseAMachineIsIsPutBack(t *testing.T) {
	s := newSite(t)
	s.startManager()
	told := s.startOwnership()
	pool := s.pool("workers", 2)
	s.create(pool)
	s.eventually("the machines are made", func() error { return s.settled(pool, 2) })
	whole := s.machines()
	if len(told.Events) > 0 {
		t.Errorf("something was put back that nobody took: %s", <-told.Events)
	}
	for _, paused := range []bool{false, true} {
		update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = &paused })
		for name, steal := range thefts {
			machine := whole[0].DeepCopy()
			update(s, machine, steal)
			s.eventually("without "+name+": it is put back", func() error {
				now := s.machines()
				if len(now) != 2 {
					return fmt.Errorf("there are %d Machines", len(now))
				}
				for i := range now {
					if err := sameOwnership(&whole[i], &now[i]); err != nil {
						return err
					}
				}
				return nil
			})
			if event := <-told.Events; !strings.Contains(event, v1alpha1.ReasonMachineRestored) || !strings.Contains(event, machine.Name) {
				t.Errorf("without %s: the pool is told %q", name, event)
			}
		}
	}
	s.eventually("the pool made no other", func() error { return s.settled(pool, 2) })
	if got := *pool.Status.NextOrdinal; got != 2 {
		t.Errorf("%d machines were made, want 2", got)
	}
}

func sameOwnership(want, got *clusterv1.Machine) error {
	kept := func(m *clusterv1.Machine) *metav1.ObjectMeta {
		kept := &metav1.ObjectMeta{UID: m.UID, Labels: map[string]string{}, Finalizers: slices.Sorted(slices.Values(m.Finalizers))}
		for _, label := range []string{v1alpha1.PoolLabel, v1alpha1.PoolUIDLabel, v1alpha1.WatchFilterLabel} {
			kept.Labels[label] = m.Labels[label]
		}
		for _, owner := range m.OwnerReferences {
			if owner.Kind == "NodePool" { // The Cluster is for Cluster API to put back.
				kept.OwnerReferences = append(kept.OwnerReferences, owner)
			}
		}
		return kept
	}
	if diff := cmp.Diff(kept(want), kept(got)); diff != "" {
		return errors.New(diff)
	}
	return nil
}

// TestAMachineThatIsTakenOutOfItsPoolIsReplaced, and goes when it is deleted; as it does when its pool is gone.
func TestAMachineThatIsTakenOutOfItsPoolIsReplaced(t *testing.T) {
	s := newSite(t)
	s.startManager()
	s.startOwnership()
	all := func(m *clusterv1.Machine) { m.Labels, m.OwnerReferences = nil, nil }
	enough := func(m *clusterv1.Machine) {
		delete(m.Labels, v1alpha1.PoolUIDLabel)
		m.OwnerReferences = nil
	}
	for i, tc := range []struct {
		reason   string
		take     func(*clusterv1.Machine)
		poolGoes bool
	}{
		{"its label and its owners are taken", enough, false},
		{"all of its labels and its owners are", all, false},
		{"and then its pool goes", all, true},
	} {
		pool := s.pool(fmt.Sprintf("workers-%d", i), 1)
		s.create(pool)
		s.eventually("the machine is made", func() error { return s.settled(pool, 1) })
		machine := s.machines()[0]
		update(s, &machine, tc.take)
		s.eventually(tc.reason+": another is made", func() error { return s.counts(2, 0) })
		leave := func() {
			if err := s.Client.Delete(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
			s.eventually(tc.reason+": the pool goes with the machine that it has", func() error {
				s.clusterAPI()
				return s.gone(pool)
			})
		}
		if tc.poolGoes {
			leave()
		}
		if err := s.Client.Delete(t.Context(), &machine); err != nil {
			t.Fatal(err)
		}
		s.eventually(tc.reason+": the Machine goes", func() error {
			s.clusterAPI()
			return s.gone(&machine)
		})
		if !tc.poolGoes {
			leave()
		}
	}
}
