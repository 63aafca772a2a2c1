package ownership

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
)

// PoolOf reads the pool whose a Machine is, or nil.
func PoolOf(ctx context.Context, reader client.Reader, machine *clusterv1.Machine) (*v1alpha1.NodePool, error) {
	for _, name := range PoolNames(machine) {
		pool, err := lookup.GetOrNil(ctx, reader, types.NamespacedName{Namespace: machine.Namespace, Name: name}, &v1alpha1.NodePool{})
		if err != nil {
			return nil, err
		}
		if pool != nil && Has(pool, machine) {
			return pool, nil
		}
	}
	if !lookup.OfPool(machine) {
		return nil, nil
	}
	// The label with the UID is there, and those with the name are not.
	pools := &v1alpha1.NodePoolList{}
	if err := reader.List(ctx, pools, client.InNamespace(machine.Namespace)); err != nil {
		return nil, fmt.Errorf("look for the NodePool of Machine %s/%s: %w", machine.Namespace, machine.Name, err)
	}
	for i := range pools.Items {
		if Has(&pools.Items[i], machine) {
			return &pools.Items[i], nil
		}
	}
	return nil, nil
}

// Has says that a Machine is the pool's: its name says so, and its label or its owner reference.
func Has(pool *v1alpha1.NodePool, machine *clusterv1.Machine) bool {
	return machine.Namespace == pool.Namespace && strings.HasPrefix(machine.Name, v1alpha1.MachineNamePrefix(pool)) &&
		(machine.Labels[v1alpha1.PoolUIDLabel] == string(pool.UID) || isOwnedBy(machine, pool.UID))
}

// PoolNames are the names of pools that an object has in its label and in its owner references.
func PoolNames(object client.Object) []string {
	var names []string
	if name := object.GetLabels()[v1alpha1.PoolLabel]; name != "" {
		names = append(names, name)
	}
	for _, ref := range poolReferences(object) {
		if !slices.Contains(names, ref.Name) {
			names = append(names, ref.Name)
		}
	}
	return names
}

// StrayOf is the UID of the pool that a Machine's owner reference names while its labels do not, or "".
func StrayOf(machine client.Object) types.UID {
	for _, ref := range poolReferences(machine) {
		labels := machine.GetLabels()
		if labels[v1alpha1.PoolUIDLabel] != string(ref.UID) || labels[v1alpha1.PoolLabel] != ref.Name {
			return ref.UID
		}
	}
	return ""
}

func poolReferences(object client.Object) []metav1.OwnerReference {
	var found []metav1.OwnerReference
	for _, ref := range object.GetOwnerReferences() {
		version, err := schema.ParseGroupVersion(ref.APIVersion)
		if err == nil && version.Group == v1alpha1.GroupVersion.Group && ref.Kind == "NodePool" {
			found = append(found, ref)
		}
	}
	return found
}

func isOwnedBy(machine client.Object, uid types.UID) bool {
	for _, ref := range poolReferences(machine) {
		if ref.UID == uid {
			return true
		}
	}
	return false
}

// Reference is the owner reference by which a pool owns what it makes.
func Reference(pool *v1alpha1.NodePool) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "NodePool", Name: pool.Name, UID: pool.UID, BlockOwnerDeletion: ptr.To(true),
	}
}

// Mended is a Machine of the pool with what says so, and what it lacked of that; the Machine itself when it lacked nothing. The
// label that our own Cluster API selects by is among it: without it nobody would see the Machine's deletion through.
//
// From a Machine that is being deleted, or whose pool is, others take away the rest as they are done with it: the garbage
// collector the owner reference, whoever waits for a finalizer that.
func Mended(pool *v1alpha1.NodePool, machine *clusterv1.Machine) (mended *clusterv1.Machine, lacked []string) {
	mended = machine.DeepCopy()
	if mended.Labels == nil {
		mended.Labels = map[string]string{}
	}
	for _, label := range [][2]string{
		{v1alpha1.PoolLabel, pool.Name}, {v1alpha1.PoolUIDLabel, string(pool.UID)}, {v1alpha1.WatchFilterLabel, v1alpha1.WatchFilterValue},
	} {
		if mended.Labels[label[0]] != label[1] {
			mended.Labels[label[0]] = label[1]
			lacked = append(lacked, "label "+label[0])
		}
	}
	stays := machine.DeletionTimestamp.IsZero()
	if stays && pool.DeletionTimestamp.IsZero() && !isOwnedBy(machine, pool.UID) {
		mended.OwnerReferences = append(mended.OwnerReferences, Reference(pool))
		lacked = append(lacked, "the owner reference to the pool")
	}
	if stays && controllerutil.AddFinalizer(mended, v1alpha1.OrdinalFinalizer) {
		lacked = append(lacked, "finalizer "+v1alpha1.OrdinalFinalizer)
	}
	if len(lacked) == 0 {
		return machine, nil
	}
	return mended, lacked
}
