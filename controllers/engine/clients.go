package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
)

// heldClient is the client of Cluster API's reconcilers, with views of its own.
//
// An object with our finalizer seems not to be deleted. An adopted Cluster that is being deleted, by hand or with its
// namespace, would otherwise take its Machines along without draining them, and so would a control plane that is being
// deleted. While pools use them they go on as ever; when the adopter takes the finalizer off, Cluster API sees the
// deletion and completes it.
//
// Nor does a LocalMachine or HostMachine seem to be deleted before its Machine is drained: Cluster API would skip the drain, although
// the provider keeps the machine running until then. That is how a deleted namespace's machines are drained.
//
// A Machine without the condition Paused seems to have it with the status False. Cluster API would otherwise write
// just that, and start over, for every new Machine; so it is written with the other conditions. A Machine that is
// paused differs from what it seems, and Cluster API writes that first.
//
// And whoever reads a Machine sees at least what was last written to it through this client, which writes a Machine's status
// with one request where Cluster API takes two, and the first status of a new one with none, where that says that it waits.
type heldClient struct {
	client.Client
	written   written
	coalesced coalescer
}

// Get implements client.Reader.
func (c *heldClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if err := c.get(ctx, key, obj, opts...); err != nil {
		return err
	}
	stays, err := c.staysForDrain(ctx, obj)
	if err != nil {
		return err
	}
	if stays || controllerutil.ContainsFinalizer(obj, v1alpha1.AdoptedClusterFinalizer) {
		obj.SetDeletionTimestamp(nil)
		obj.SetDeletionGracePeriodSeconds(nil)
	}
	if machine, ok := obj.(*clusterv1.Machine); ok && !conditions.Has(machine, clusterv1.PausedCondition) {
		conditions.Set(machine, metav1.Condition{
			Type:               clusterv1.PausedCondition,
			Status:             metav1.ConditionFalse,
			Reason:             clusterv1.NotPausedReason,
			ObservedGeneration: machine.Generation,
		})
	}
	return nil
}

// staysForDrain is true for a machine of our own providers that is being deleted while its Machine has yet to be drained.
func (c *heldClient) staysForDrain(ctx context.Context, obj client.Object) (bool, error) {
	if v1alpha1.ProviderIDPrefix(obj.GetObjectKind().GroupVersionKind().GroupKind()) == "" {
		return false, nil
	}
	owner := metav1.GetControllerOf(obj)
	if obj.GetDeletionTimestamp().IsZero() || owner == nil {
		return false, nil
	}
	name := client.ObjectKey{Namespace: obj.GetNamespace(), Name: owner.Name}
	machine, err := lookup.GetOrNil(ctx, c.Client, name, &clusterv1.Machine{})
	return machine != nil && machine.UID == owner.UID && !v1alpha1.Drained(machine), err
}

func (c *heldClient) get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	machine, ok := obj.(*clusterv1.Machine)
	if !ok {
		return c.Client.Get(ctx, key, obj, opts...)
	}
	begins := machine.Name == "" // Whoever writes a Machine and reads it again for that reads over what he has.
	err := c.written.get(ctx, c.Client, key, machine, opts...)
	switch {
	case apierrors.IsNotFound(err):
		c.coalesced.forget(key)
	case err == nil && begins:
		c.coalesced.read(ctx, machine)
	}
	return err
}

// Patch implements client.Writer.
func (c *heldClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	err := c.Client.Patch(ctx, obj, patch, opts...)
	c.written.record(obj, err)
	return err
}

// Status implements client.StatusClient.
func (c *heldClient) Status() client.SubResourceWriter {
	return &heldStatus{SubResourceWriter: c.Client.Status(), written: &c.written, coalesced: &c.coalesced}
}

type heldStatus struct {
	client.SubResourceWriter
	written   *written
	coalesced *coalescer
}

// Patch implements client.SubResourceWriter.
func (s *heldStatus) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	send := func(obj client.Object) error {
		err := s.SubResourceWriter.Patch(ctx, obj, patch, opts...)
		s.written.record(obj, err)
		return err
	}
	machine, ok := obj.(*clusterv1.Machine)
	if !ok {
		return send(obj)
	}
	return s.coalesced.patch(ctx, machine, patch, func(machine *clusterv1.Machine) error { return send(machine) })
}

// nodeClient is the client that Cluster API's reconcilers use on the cluster's Nodes. It drops patches that change
// nothing: the Machine reconciler sends one in each reconcile of a Machine without a controlling owner
// (patchNode counts the absent owner annotations as removed).
//
// And it takes the optimistic lock off patches that only add labels and annotations, which cannot undo what another
// writes. A Node that has just registered is written to by its kubelet, three controllers and us within the same
// moments: with the lock the first of these patches fails as a rule, and the whole reconcile is done over.
//
// And it answers a list of all Nodes with none, where Nodes are indexed by their provider IDs. Such a list is how the Machine
// reconciler makes sure of an index that has no Node of an ID (getNode), at each look at a machine that has yet to join: it copies
// each Node of the cluster, to find what the index has just said.
type nodeClient struct {
	client.Client
	// indexed says that Nodes are indexed by their provider IDs.
	indexed bool
}

// List implements client.Reader.
func (c *nodeClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if nodes, ok := list.(*corev1.NodeList); ok && c.indexed && len(opts) == 0 {
		*nodes = corev1.NodeList{}
		return nil
	}
	return c.Client.List(ctx, list, opts...)
}

// Patch implements client.Writer.
func (c *nodeClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	data, err := patch.Data(obj)
	if err != nil {
		return fmt.Errorf("compute the patch of %T %s: %w", obj, obj.GetName(), err)
	}
	if patch.Type() == types.MergePatchType || patch.Type() == types.StrategicMergePatchType {
		if changesNothing(data) {
			return nil
		}
		data = withoutNeedlessLock(data)
	}
	return c.Client.Patch(ctx, obj, client.RawPatch(patch.Type(), data), opts...)
}

// withoutNeedlessLock is the merge patch without its resource version, if it does nothing but add or set labels and
// annotations; any other is returned as it is.
func withoutNeedlessLock(data []byte) []byte {
	var patch map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &patch); err != nil || len(patch) != 1 {
		return data
	}
	metadata := patch["metadata"]
	for field, value := range metadata {
		switch field {
		case "resourceVersion", "uid":
		case "labels", "annotations":
			var values map[string]*string
			if err := json.Unmarshal(value, &values); err != nil || removes(values) {
				return data
			}
		default:
			return data
		}
	}
	delete(metadata, "resourceVersion")
	if unlocked, err := json.Marshal(patch); err == nil {
		return unlocked
	}
	return data
}

// removes says whether a merge patch of a map takes a key out of it, or all, or holds a directive of a strategic one.
func removes(values map[string]*string) bool {
	if values == nil {
		return true
	}
	for key, value := range values {
		if value == nil || strings.HasPrefix(key, "$") {
			return true
		}
	}
	return false
}

// changesNothing says whether a merge patch holds at most the resource version and UID that it insists on.
func changesNothing(data []byte) bool {
	if bytes.Equal(data, []byte("{}")) {
		return true
	}
	var patch map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &patch); err != nil || len(patch) != 1 {
		return false
	}
	metadata := patch["metadata"]
	if metadata == nil {
		return false
	}
	delete(metadata, "resourceVersion")
	delete(metadata, "uid")
	return len(metadata) == 0
}
