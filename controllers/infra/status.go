package infra

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// maxMessage is the most a condition's message may have (metav1.Condition).
const maxMessage = 32768

// report writes what changed in the status since before, if anything did, in one patch, and an event when the machine
// got into trouble.
func (r *Reconciler[M]) report(ctx context.Context, before, m M, seen State) error {
	apply(r.contract(m), m.GetGeneration(), seen)
	if equality.Semantic.DeepEqual(before, m) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, m, client.MergeFrom(before)); err != nil {
		return r.describeWrite("write the status of", m, err)
	}
	r.written.Wrote(m)
	old := meta.FindStatusCondition(*r.contract(before).Conditions, v1alpha1.ReadyCondition)
	if seen.isTrouble() && (old == nil || old.Reason != seen.Reason || old.Message != seen.Message) {
		r.warn(m, seen.Reason, seen.Message)
	}
	return nil
}

func (s State) isTrouble() bool { return s.Reason != v1alpha1.ReasonProvisioned && !s.Waiting }

func apply(c Contract, generation int64, seen State) {
	status := metav1.ConditionFalse
	if seen.Reason == v1alpha1.ReasonProvisioned {
		status = metav1.ConditionTrue
	}
	if len(seen.Message) > maxMessage {
		seen.Message = seen.Message[:maxMessage]
	}
	meta.SetStatusCondition(c.Conditions, metav1.Condition{Type: v1alpha1.ReadyCondition, Status: status,
		Reason: seen.Reason, Message: seen.Message, ObservedGeneration: generation})
	*c.ObservedGeneration = generation
	if seen.Provisioned {
		yes := true
		*c.Provisioned = &yes
	}
	if len(seen.Addresses) > 0 {
		*c.Addresses = seen.Addresses
	}
}

// patch writes metadata and spec.
func (r *Reconciler[M]) patch(ctx context.Context, m M, change func()) error {
	before := copyOf(m)
	change()
	if err := r.Client.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return r.describeWrite("write", m, err)
	}
	r.written.Wrote(m)
	return nil
}

// describeWrite wraps a write's error. An object that is gone needs none.
func (r *Reconciler[M]) describeWrite(doing string, m M, err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s %s %s: %w", doing, r.Provider.Kind().Name, m.GetName(), err)
}

func (r *Reconciler[M]) warn(m M, reason, message string) {
	r.event(m, corev1.EventTypeWarning, reason, message)
}

func (r *Reconciler[M]) event(m M, kind, reason, message string) {
	r.Recorder.Eventf(m, nil, kind, reason, "Provision", "%s", v1alpha1.BoundMessage(message))
}

// copyOf is a deep copy.
func copyOf[M client.Object](m M) M {
	twin, _ := m.DeepCopyObject().(M) // A DeepCopyObject that returns another type than its own is none.
	return twin
}
