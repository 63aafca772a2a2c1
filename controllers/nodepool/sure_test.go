package nodepool

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestManyAreReadWithOneList, and one that the list lacks, as somebody took its label, by itself; one that is gone is not there.
func TestManyAreReadWithOneList(t *testing.T) {
	for _, c := range []struct{ machines, lists, gets int }{
		{0, 0, 0},
		{mostAlone, 0, mostAlone},
		{mostAlone + 1, 1, 2}, // the one without a label, and the one that is gone
		{300, 1, 2},
	} {
		pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "workers", UID: "1"}}
		scheme := runtime.NewScheme()
		if err := clusterv1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		names, build := map[string]bool{}, fake.NewClientBuilder().WithScheme(scheme)
		for i := range c.machines {
			machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprintf("m-%d", i)}}
			names[machine.Name] = true
			if i != 1 {
				machine.Labels = map[string]string{v1alpha1.PoolUIDLabel: "1"}
			}
			if i > 0 {
				build.WithObjects(machine)
			}
		}
		lists, gets := 0, 0
		live := interceptor.NewClient(build.Build(), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				lists++
				return c.List(ctx, list, options...)
			},
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				gets++
				return c.Get(ctx, key, object, options...)
			},
		})
		found, err := sureReads[*clusterv1.Machine]{
			from: live, namespace: "a", list: &clusterv1.MachineList{}, blank: func() *clusterv1.Machine { return &clusterv1.Machine{} }, atOnce: 1,
		}.read(t.Context(), pool, names)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(0, c.machines-1); len(found) != want || found["m-0"] != nil || lists != c.lists || gets != c.gets {
			t.Errorf("of %d machines %d were found, with %d lists and %d reads, want %d, %d and %d", c.machines, len(found), lists, gets, want, c.lists, c.gets)
		}
		for name, machine := range found {
			if machine.Name != name {
				t.Errorf("%s was found as %s", machine.Name, name)
			}
		}
	}
}
