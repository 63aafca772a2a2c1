package local

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// observed is what a status is made of.
type observed struct {
	// reason and message are the Ready condition's. It is True with ReasonProvisioned only.
	reason, message string
	// state is the machine, nil if it does not run.
	state *State
}

// maxMessage is the most a condition's message may have (metav1.Condition).
const maxMessage = 32768

// report writes the status if it changed, in one patch, and an event when the machine got into trouble.
func (r *Reconciler) report(ctx context.Context, lm *v1alpha1.LocalMachine, seen observed) error {
	before := lm.DeepCopy()
	apply(lm, seen)
	if equality.Semantic.DeepEqual(before.Status, lm.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, lm, client.MergeFrom(before)); err != nil {
		return describeWrite("write the status of", lm, err)
	}
	r.written.remember(before, lm)
	if old := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ReadyCondition); isTrouble(seen.reason) && (old == nil || old.Reason != seen.reason || old.Message != seen.message) {
		r.event(lm, corev1.EventTypeWarning, seen.reason, seen.message)
	}
	return nil
}

func isTrouble(reason string) bool {
	switch reason {
	case v1alpha1.ReasonProvisioned, v1alpha1.ReasonWaitingForMachine, v1alpha1.ReasonWaitingForSecret:
		return false
	}
	return true
}

func apply(lm *v1alpha1.LocalMachine, seen observed) {
	status := metav1.ConditionFalse
	if seen.reason == v1alpha1.ReasonProvisioned {
		status = metav1.ConditionTrue
	}
	if len(seen.message) > maxMessage {
		seen.message = seen.message[:maxMessage]
	}
	meta.SetStatusCondition(&lm.Status.Conditions, metav1.Condition{Type: v1alpha1.ReadyCondition, Status: status,
		Reason: seen.reason, Message: seen.message, ObservedGeneration: lm.Generation})
	lm.Status.ObservedGeneration = lm.Generation
	if seen.state == nil {
		lm.Status.PID = nil
		return
	}
	yes, pid := true, int32(seen.state.Process.PID) // The kernel's limit is 2^22.
	lm.Status.Initialization.Provisioned = &yes
	lm.Status.PID, lm.Status.BootID = &pid, seen.state.BootID
	lm.Status.Addresses = []clusterv1.MachineAddress{
		{Type: clusterv1.MachineInternalIP, Address: seen.state.Address.String()},
		{Type: clusterv1.MachineHostName, Address: lm.Name},
	}
}

// patch writes metadata and spec.
func (r *Reconciler) patch(ctx context.Context, lm *v1alpha1.LocalMachine, change func()) error {
	before := lm.DeepCopy()
	change()
	if err := r.Client.Patch(ctx, lm, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return describeWrite("write", lm, err)
	}
	r.written.remember(before, lm)
	return nil
}

// describeWrite wraps a write's error. An object that is gone needs none.
func describeWrite(doing string, lm *v1alpha1.LocalMachine, err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s LocalMachine %s: %w", doing, lm.Name, err)
}

// written remembers the version of each object before our last write to it, so that a cache which has yet to see
// that write is not acted upon.
type written struct {
	mu     sync.Mutex
	before map[types.NamespacedName]map[string]bool
}

func (w *written) remember(before, after client.Object) {
	if before.GetResourceVersion() == after.GetResourceVersion() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(before)
	if w.before == nil {
		w.before = map[types.NamespacedName]map[string]bool{}
	}
	if w.before[key] == nil {
		w.before[key] = map[string]bool{}
	}
	w.before[key][before.GetResourceVersion()] = true
}

// isOlder says whether the object is from before our last write, and forgets the versions once it is not.
func (w *written) isOlder(o client.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(o)
	if w.before[key][o.GetResourceVersion()] {
		return true
	}
	delete(w.before, key)
	return false
}

func (w *written) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.before, key)
}
