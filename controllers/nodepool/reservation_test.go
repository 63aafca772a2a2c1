package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestAMachineDeletedInTheMiddleOfAReservationGoes although its pool is paused, and its name is not used again when that is over.
func TestAMachineDeletedInTheMiddleOfAReservationGoes(t *testing.T) {
	s := newSite(t)
	pool := s.pool("middle", 3)
	s.create(pool)
	names := func(ordinals ...int64) (list []string) {
		for _, ordinal := range ordinals {
			list = append(list, v1alpha1.MachineName(pool, ordinal))
		}
		return list
	}
	lost := errors.New("the connection was lost")
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}
	_, err := s.reconciler(interceptor.NewClient(s.watcher(), interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, isMachine := o.(*clusterv1.Machine); isMachine && o.GetName() != names(1)[0] {
				return lost
			}
			return inner.Create(ctx, o, opts...)
		},
	})).Reconcile(t.Context(), request)
	if !errors.Is(err, lost) {
		t.Fatalf("got %v, want that two machines could not be made", err)
	}
	is := func(want []string) error {
		got := []string{}
		for _, m := range s.machines() {
			got = append(got, m.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("machines (-want +got):\n%s", diff)
		}
		return nil
	}
	if err := is(names(1)); err != nil {
		t.Fatal(err)
	}

	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(true) })
	middle := s.machines()[0]
	if err := s.Client.Delete(t.Context(), &middle); err != nil {
		t.Fatal(err)
	}
	alive := s.reconciler(s.Client)
	rounds := func(want []string) func() error {
		return func() error {
			if _, err := alive.Reconcile(t.Context(), request); err != nil {
				return err
			}
			s.clusterAPI()
			return is(want)
		}
	}
	s.eventually("it goes", rounds([]string{}))
	if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
	if r := pool.Status.Reserved; r == nil || r.Count != 3 || !slices.Equal(r.Released, []int64{1}) {
		t.Errorf("what is left of the reservation: %+v", r)
	}
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Paused = nil })
	s.eventually("the others are made, and one under a new name", rounds(names(0, 2, 3)))
}
