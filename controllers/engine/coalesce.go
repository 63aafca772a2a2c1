package engine

import (
	"context"
	"encoding/json"
	"sync"
	"time"
	"weak"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
)

// coalescer sends as one the two requests in which Cluster API's patch.Helper writes a Machine's status: its conditions, onto
// the version that they were merged into, and then whatever else of the status changed, onto any version.
//
// The helper does not show the second with the first. But it will take it from the Machine that the reconcile read through this
// client and has changed since. So the conditions are sent with the rest of that one's status; and the helper's second request,
// which asks for what the API server has just answered, is not sent.
//
// No write is lost, and none undoes another's: the rest goes along only onto the very version that the reconcile read. If the one
// request conflicts, the helper reads again, finds another version and sends two. If it fails otherwise, the two are sent
// as they are, so that each has the error that it would have had, and conditions are written though the rest be refused.
//
// Of a Machine that has just been made neither is sent while newborns keeps its status back.
type coalescer struct {
	newborns newborns

	mutex sync.Mutex
	reads map[client.ObjectKey]machineRead
}

// machineRead is a Machine as a reconcile read it.
type machineRead struct {
	// reconcile tells reconciles of the same Machine apart.
	reconcile types.UID
	// machine is what the reconcile changes. It is gone with the reconcile.
	machine weak.Pointer[clusterv1.Machine]
	// answer is the rest of the status as the API server answered it; nil until it went along with the conditions.
	answer *clusterv1.MachineStatus
}

// read remembers the Machine that a reconcile begins with.
func (c *coalescer) read(ctx context.Context, machine *clusterv1.Machine) {
	c.newborns.read(machine, time.Now())
	c.set(machine, machineRead{reconcile: controller.ReconcileIDFromContext(ctx), machine: weak.Make(machine)})
}

// forget drops what is remembered about a Machine that is gone.
func (c *coalescer) forget(key client.ObjectKey) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.reads, key)
}

func (c *coalescer) set(machine *clusterv1.Machine, read machineRead) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.reads == nil {
		c.reads = map[client.ObjectKey]machineRead{}
	}
	c.reads[client.ObjectKeyFromObject(machine)] = read
}

// readBy is what this reconcile read of a Machine.
func (c *coalescer) readBy(ctx context.Context, machine *clusterv1.Machine) (machineRead, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	read, ok := c.reads[client.ObjectKeyFromObject(machine)]
	return read, ok && read.reconcile == controller.ReconcileIDFromContext(ctx)
}

// patch sends a patch of a Machine's status: with more, if it is of the conditions; not at all, if that went along.
func (c *coalescer) patch(ctx context.Context, machine *clusterv1.Machine, patch client.Patch, send func(*clusterv1.Machine) error) error {
	read, ok := c.readBy(ctx, machine)
	if !ok {
		return send(machine)
	}
	reconciled := read.machine.Value()
	if reconciled != nil && c.newborns.keeps(reconciled, time.Now()) {
		return nil
	}
	answer := read.answer
	read.answer = nil
	c.set(machine, read)
	part := partOf(patch, machine)
	if part.isRest() && answer != nil && equality.Semantic.DeepEqual(answer, restOf(machine)) {
		return nil
	}
	if reconciled == nil || !part.isConditionsOnto(reconciled.ResourceVersion) {
		return send(machine)
	}
	whole := withRestOf(machine, reconciled)
	if equality.Semantic.DeepEqual(whole.Status, machine.Status) {
		return send(machine)
	}
	err := send(whole)
	if apierrors.IsConflict(err) {
		return err
	}
	if err != nil {
		return send(machine)
	}
	read.answer = restOf(whole)
	c.set(machine, read)
	whole.DeepCopyInto(machine)
	return nil
}

// statusPart is what can be told of a merge patch of a status.
type statusPart struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Status struct {
		Conditions json.RawMessage `json:"conditions"`
		Deprecated struct {
			V1Beta1 struct {
				Conditions json.RawMessage `json:"conditions"`
			} `json:"v1beta1"`
		} `json:"deprecated"`
	} `json:"status"`
	known bool
}

// partOf reads a patch. Whoever sends one that cannot be read is told what is wrong with it.
func partOf(patch client.Patch, machine *clusterv1.Machine) statusPart {
	var part statusPart
	data, err := patch.Data(machine)
	part.known = err == nil && patch.Type() == types.MergePatchType && json.Unmarshal(data, &part) == nil
	return part
}

func (p statusPart) hasConditions() bool {
	return p.Status.Conditions != nil || p.Status.Deprecated.V1Beta1.Conditions != nil
}

// isConditionsOnto says that the patch is the helper's first, and that it insists on that version.
func (p statusPart) isConditionsOnto(version string) bool {
	return p.known && p.hasConditions() && p.Metadata.ResourceVersion == version
}

// isRest says that the patch is the helper's second.
func (p statusPart) isRest() bool {
	return p.known && !p.hasConditions() && p.Metadata.ResourceVersion == ""
}

// withRestOf is the Machine with its own conditions and whatever else is in the other's status.
func withRestOf(machine, other *clusterv1.Machine) *clusterv1.Machine {
	whole := machine.DeepCopy()
	other.Status.DeepCopyInto(&whole.Status)
	whole.SetConditions(machine.GetConditions())
	if old := machine.GetV1Beta1Conditions(); old != nil || whole.GetV1Beta1Conditions() != nil {
		whole.SetV1Beta1Conditions(old)
	}
	return whole
}

// restOf is a Machine's status without what the helper's first request writes, the room for that aside.
func restOf(machine *clusterv1.Machine) *clusterv1.MachineStatus {
	rest := machine.DeepCopy()
	rest.SetConditions(nil)
	rest.SetV1Beta1Conditions(nil)
	return &rest.Status
}
