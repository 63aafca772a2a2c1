package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/refusal"
)

// keepNodeAgent keeps a NodeAgent as it should be, with one write and only where it is not: its labels and what the revision that it
// names stands for, should somebody have edited them, and the facts of the cluster as they are now. Where these cannot be found
// out it keeps those that it has: what watches them says so, once for all. Components may restart for it, so that it waits where the
// pool is paused, or the fleet stopped.
func (r *Reconciler) keepNodeAgent(ctx context.Context, o *observed) error {
	if ptr.Deref(o.pool.Spec.Paused, false) || o.stopped && o.mayHavePods() || r.told.IsOlder(o.agent) {
		return nil
	}
	next := o.agent.DeepCopy()
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	maps.Copy(next.Labels, agentLabels(o.machine))
	edited, looked, err := r.restore(ctx, o, &next.Spec)
	if err != nil {
		return err
	}
	if facts, err := r.Facts.Update(ctx, next.Spec.Cluster); err == nil {
		next.Spec.Cluster = facts
	}
	if !equality.Semantic.DeepEqual(o.agent, next) {
		if written, err := r.writeNodeAgent(ctx, o, next, edited); err != nil || !written {
			return err
		}
	}
	if looked && next.Generation == o.agent.Generation { // What the API server adds to what we write is as it is to be.
		r.seen.restored(o)
	}
	r.tellKept(ctx, o, next, edited)
	o.agent = next
	return nil
}

// restore puts back into a NodeAgent's spec what its revision stands for, and names the fields that somebody has edited. It looks
// once at each generation. A revision that the node was not told, as far as is known here, is the nodepool controller's to change,
// which drains the node for it where it must.
func (r *Reconciler) restore(ctx context.Context, o *observed, spec *v1alpha1.NodeAgentSpec) (edited []string, looked bool, err error) {
	if r.seen.isRestored(o) || spec.Revision != v1alpha1.ToldRevision(o.machine) {
		return nil, false, nil
	}
	revision, err := lookup.GetOrNil(ctx, r.Management, lookup.ToldRevisionName(o.machine), &appsv1.ControllerRevision{})
	if err != nil || revision == nil {
		return nil, false, err
	}
	if err := desired.Restore(ctx, r.Management, spec, revision); err != nil {
		if errors.As(err, new(*desired.UnusableError)) {
			return nil, true, nil // It says so where it matters, which is where a node is to run it.
		}
		return nil, false, err //nolint:wrapcheck // it says what was read
	}
	for _, change := range disruption.Between(&o.agent.Spec, spec) {
		edited = append(edited, change.Field)
	}
	return edited, true, nil
}

// writeNodeAgent writes a NodeAgent as it should be. What somebody edited is put back only onto the very version that was looked
// at: a moment later it may ask for another revision. What somebody else wrote meanwhile raises an event.
func (r *Reconciler) writeNodeAgent(ctx context.Context, o *observed, next *v1alpha1.NodeAgent, edited []string) (written bool, err error) {
	patch := client.MergeFrom(o.agent)
	if len(edited) > 0 {
		patch = client.MergeFromWithOptions(o.agent, client.MergeFromWithOptimisticLock{})
	}
	err = r.Workload.Patch(ctx, next, patch)
	switch {
	case err == nil:
		r.told.Wrote(next)
		return true, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil
	case refusal.ForGood(err):
		return false, troublef(v1alpha1.ReasonNodeAgentRefused, "keep NodeAgent %s as its pool and its cluster are: %w: apply the dist/install.yaml of this manager's version, or change the policy that refuses it", o.agent.Name, err)
	default:
		return false, fmt.Errorf("keep NodeAgent %s as its pool and its cluster are: %w", o.agent.Name, err)
	}
}

// tellKept says what was written, to the pool as well where a user has to know that he edits the wrong object.
func (r *Reconciler) tellKept(ctx context.Context, o *observed, next *v1alpha1.NodeAgent, edited []string) {
	if next.ResourceVersion == o.agent.ResourceVersion {
		return
	}
	ctrl.LoggerFrom(ctx).Info("Wrote the NodeAgent", "putBack", edited, "factsWere", o.agent.Spec.Cluster.Hash(), "factsAre", next.Spec.Cluster.Hash())
	if len(edited) > 0 && next.Generation != o.agent.Generation {
		r.Recorder.Eventf(o.pool, o.machine, corev1.EventTypeWarning, v1alpha1.ReasonNodeAgentRestored, "Restore", "%s",
			v1alpha1.BoundMessage(fmt.Sprintf("Put back in NodeAgent %s what is not as revision %s has it: %s. Change the pool's template instead", next.Name, next.Spec.Revision, strings.Join(edited, ", "))))
	}
}

// allMachines are those that have a NodeAgent.
func (r *Reconciler) allMachines(ctx context.Context) ([]reconcile.Request, error) {
	agents := &v1alpha1.NodeAgentList{}
	if err := r.Workload.List(ctx, agents, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list NodeAgents: %w", err)
	}
	var requests []reconcile.Request
	for i := range agents.Items {
		requests = append(requests, lookup.MachineOfAgent(ctx, &agents.Items[i])...)
	}
	return requests, nil
}
