package ownership

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func pool(name string, uid types.UID) *v1alpha1.NodePool {
	return &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: uid}}
}

// whole is a Machine of the pool's as it is made.
func whole(pool *v1alpha1.NodePool) *clusterv1.Machine {
	return &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
		Namespace: pool.Namespace, Name: v1alpha1.MachineName(pool, 7),
		Labels: map[string]string{
			v1alpha1.PoolLabel: pool.Name, v1alpha1.PoolUIDLabel: string(pool.UID), v1alpha1.WatchFilterLabel: v1alpha1.WatchFilterValue,
		},
		Finalizers:      []string{clusterv1.MachineFinalizer, v1alpha1.OrdinalFinalizer},
		OwnerReferences: []metav1.OwnerReference{Reference(pool), {APIVersion: clusterv1.GroupVersion.String(), Kind: "Cluster", Name: "drover", UID: "cluster"}},
	}}
}

func TestWhoseAMachineIs(t *testing.T) {
	mine, other := pool("workers", "a"), pool("others", "b")
	now := metav1.Now()
	cases := []struct {
		reason string
		edit   func(*clusterv1.Machine)
		// lacked are what is put back; nil with nobodys for a Machine of no pool.
		lacked  []string
		stray   types.UID
		nobodys bool
	}{
		{reason: "a Machine that nobody edited is whole", edit: func(*clusterv1.Machine) {}},
		{reason: "its owner and its name tell", edit: func(m *clusterv1.Machine) { delete(m.Labels, v1alpha1.PoolUIDLabel) },
			lacked: []string{"label fleet.drover.dev/pool-uid"}, stray: "a"},
		{reason: "they tell as well where another pool's label is", edit: func(m *clusterv1.Machine) {
			m.Labels[v1alpha1.PoolLabel], m.Labels[v1alpha1.PoolUIDLabel] = other.Name, string(other.UID)
		}, lacked: []string{"label fleet.drover.dev/pool", "label fleet.drover.dev/pool-uid"}, stray: "a"},
		{reason: "and where no label is left", edit: func(m *clusterv1.Machine) { m.Labels = nil },
			lacked: []string{"label fleet.drover.dev/pool", "label fleet.drover.dev/pool-uid", "label cluster.x-k8s.io/watch-filter"}, stray: "a"},
		{reason: "its label and its name tell", edit: func(m *clusterv1.Machine) { m.OwnerReferences = nil },
			lacked: []string{"the owner reference to the pool"}},
		{reason: "they tell as well where another pool owns it", edit: func(m *clusterv1.Machine) {
			m.OwnerReferences = []metav1.OwnerReference{Reference(other)}
		}, lacked: []string{"the owner reference to the pool"}, stray: "b"},
		{reason: "the UID tells where the name is gone", edit: func(m *clusterv1.Machine) {
			delete(m.Labels, v1alpha1.PoolLabel)
			m.OwnerReferences = nil
		}, lacked: []string{"label fleet.drover.dev/pool", "the owner reference to the pool"}},
		{reason: "the ordinal's hold is the pool's", edit: func(m *clusterv1.Machine) { m.Finalizers = nil },
			lacked: []string{"finalizer fleet.drover.dev/ordinal"}},
		{reason: "of one that is being deleted others take away owners and finalizers", edit: func(m *clusterv1.Machine) {
			m.DeletionTimestamp, m.Finalizers, m.OwnerReferences = &now, []string{"another"}, nil
		}},
		{reason: "without a label and an owner it is nobody's", edit: func(m *clusterv1.Machine) {
			delete(m.Labels, v1alpha1.PoolUIDLabel)
			m.OwnerReferences = nil
		}, nobodys: true},
		{reason: "a name that begins as no machine of the pool's does makes it nobody's, whatever the labels and owners", edit: func(m *clusterv1.Machine) {
			m.Name = "workers-0"
		}, nobodys: true},
		{reason: "nor do they in another namespace", edit: func(m *clusterv1.Machine) { m.Namespace = "another" }, nobodys: true},
		{reason: "an owner of that name that is another's kind says nothing", edit: func(m *clusterv1.Machine) {
			m.Labels = nil
			m.OwnerReferences[0].APIVersion = "karpenter.sh/v1"
		}, nobodys: true},
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(mine, other).Build()
	for _, c := range cases {
		machine := whole(mine)
		c.edit(machine)
		got, err := PoolOf(t.Context(), reader, machine)
		if err != nil || (got == nil) != c.nobodys || got != nil && got.UID != mine.UID {
			t.Errorf("%s: got %v, %v", c.reason, got, err)
		}
		if stray := StrayOf(machine); !c.nobodys && stray != c.stray {
			t.Errorf("%s: it strays from %q, want %q", c.reason, stray, c.stray)
		}
		if c.nobodys {
			continue
		}
		before := machine.DeepCopy()
		mended, lacked := Mended(mine, machine)
		if !slices.Equal(lacked, c.lacked) {
			t.Errorf("%s: it lacked %q, want %q", c.reason, lacked, c.lacked)
		}
		if _, again := Mended(mine, mended); len(again) > 0 {
			t.Errorf("%s: mended, it still lacks %q", c.reason, again)
		}
		if _, still := Mended(mine, before); !slices.Equal(still, c.lacked) {
			t.Errorf("%s: what was looked at was changed", c.reason)
		}
	}
}

// TestAPoolThatIsBeingDeletedGetsNoOwnerReferences, as the garbage collector takes these away.
func TestAPoolThatIsBeingDeletedGetsNoOwnerReferences(t *testing.T) {
	mine := pool("workers", "a")
	now := metav1.Now()
	mine.DeletionTimestamp = &now
	machine := whole(mine)
	machine.OwnerReferences = nil
	if _, lacked := Mended(mine, machine); len(lacked) > 0 {
		t.Errorf("it lacked %q", lacked)
	}
	delete(machine.Labels, v1alpha1.PoolUIDLabel)
	machine.OwnerReferences = []metav1.OwnerReference{Reference(mine)}
	if _, lacked := Mended(mine, machine); !slices.Equal(lacked, []string{"label fleet.drover.dev/pool-uid"}) {
		t.Errorf("it lacked %q; without the label it would not be deleted with its pool", lacked)
	}
}
