package nodepool_test

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestForegroundDeletion is kubectl delete --cascade=foreground, as Argo CD prunes: the garbage collector must leave
// the Machines, their infrastructure and their revision to our finalizer until every drain is over.
func TestForegroundDeletion(t *testing.T) {
	s := newSite(t)
	s.StartControllerManager(t, "garbage-collector-controller")
	s.startManager()
	pool := s.pool("workers", 2)
	s.create(pool)
	s.eventually("two machines are made", func() error {
		return errors.Join(s.counts(2, 0), s.hasCondition(pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonWaitingForMachines))
	})
	s.takeControl()

	if err := s.Client.Delete(t.Context(), pool, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	// It leaves alone what is being deleted already, which the Machines are by then: the pool keeps its
	// foregroundDeletion finalizer until they are gone.
	s.eventually("the garbage collector has come by, and took only owner references", func() error {
		for _, one := range s.localMachines() {
			if owned(one.OwnerReferences, pool.UID) {
				return fmt.Errorf("%s is still owned by the pool: %v", one.Name, one.OwnerReferences)
			}
		}
		return s.counts(0, 2)
	})
	infra := s.localMachines()
	for _, one := range infra {
		if !one.DeletionTimestamp.IsZero() {
			t.Errorf("%s is deleted before its node is drained", one.Name)
		}
	}
	if len(infra) != 2 {
		t.Errorf("%d infrastructure machines are left while two nodes drain", len(infra))
	}
	s.checkRevision(pool)

	s.eventually("when the drains are over the pool goes", func() error {
		s.clusterAPI()
		if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the pool is there"), err)
		}
		return s.counts(0, 0)
	})
}

func owned(refs []metav1.OwnerReference, uid types.UID) bool {
	for _, ref := range refs {
		if ref.UID == uid {
			return true
		}
	}
	return false
}

// takeControl makes each Machine the controller of its infrastructure machine, as Cluster API does; a finalizer
// stands for the provider's.
func (s *site) takeControl() {
	s.t.Helper()
	for _, m := range s.machines() {
		infra := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}
		yes := true
		update(s, infra, func(one *v1alpha1.LocalMachine) {
			one.OwnerReferences = append(one.OwnerReferences, metav1.OwnerReference{
				APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "Machine", Name: m.Name, UID: m.UID, Controller: &yes,
			})
		})
	}
}
