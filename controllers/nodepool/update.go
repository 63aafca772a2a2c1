package nodepool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/planner"
)

// update has the agents of machines run another revision, after the pool says which of these have a node. The error is that of
// saying so, without which none is changed; errs has an entry for each action.
func (r *Reconciler) update(ctx context.Context, seen *observation, plan planner.Result) (done []planner.Action, errs []error, err error) {
	if err := r.beginUpdates(ctx, seen, plan); err != nil {
		return nil, nil, err
	}
	done, errs = r.forEach(ctx, plan.Of(planner.Update), func(ctx context.Context, action planner.Action) error {
		return r.updateMachine(ctx, seen, action)
	}, never)
	return done, errs, nil
}

// beginUpdates names in the pool's status the machines that are about to be changed. It fails if anybody wrote the pool
// since it was read: maybe another manager, who is about to change another one.
func (r *Reconciler) beginUpdates(ctx context.Context, seen *observation, plan planner.Result) error {
	begins := func(name string) bool { return !slices.Contains(seen.Pool.Status.Updating, name) }
	if !slices.ContainsFunc(plan.Updating, begins) {
		return nil
	}
	base, pool := seen.Pool, seen.Pool.DeepCopy()
	pool.Status.Updating = plan.Updating
	if pool.Status.Rollout != nil {
		pool.Status.Rollout.ProgressedAt = metav1.NewTime(seen.Now.Truncate(time.Second))
	}
	if err := r.patchStatus(ctx, base, pool); err != nil {
		return fmt.Errorf("note which machines of NodePool %s are changed: %w", client.ObjectKeyFromObject(pool), err)
	}
	seen.Pool = pool
	return nil
}

// updateMachine has a machine's agent run another revision. It fails if the NodeAgent is not as it was when that was
// decided.
func (r *Reconciler) updateMachine(ctx context.Context, seen *observation, action planner.Action) error {
	if action.Class == disruption.Drain {
		if err := r.drain(ctx, seen, action); err != nil {
			return err
		}
	}
	agent, revision := seen.Agents[action.Name], seen.revision(action.Revision)
	if agent == nil || revision == nil {
		return fmt.Errorf("change NodeAgent %s to revision %s: one of them is gone", action.Name, action.Revision)
	}
	wanted, err := r.specOf(ctx, seen, revision, agent.Spec.Cluster)
	if err != nil {
		return fmt.Errorf("change NodeAgent %s: %w", agent.Name, err)
	}
	next := agent.DeepCopy()
	desired.Leave(&next.Spec, seen.revision(agent.Spec.Revision))
	desired.Set(&next.Spec, wanted)
	if err := r.noteTold(ctx, seen.machine(action.Name), action.Revision); err != nil {
		return err
	}
	if err := r.workload().Patch(ctx, next, client.MergeFromWithOptions(agent, client.MergeFromWithOptimisticLock{})); err != nil {
		return ignoreGone(err, "change NodeAgent %s to revision %s", agent.Name, action.Revision)
	}
	r.agents.Wrote(next)
	return nil
}

// specOf is what a node of a revision is to run: of the template's with the bundle that is observed, of an older one with its own.
func (r *Reconciler) specOf(ctx context.Context, seen *observation, revision *appsv1.ControllerRevision, facts v1alpha1.ClusterSettings) (v1alpha1.NodeAgentSpec, error) {
	if revision.Labels[v1alpha1.RevisionLabel] != seen.Revision {
		return desired.SpecOf(ctx, r.Client, revision, facts) //nolint:wrapcheck // the caller does
	}
	return desired.Spec(revision, seen.bundle, facts) //nolint:wrapcheck // the caller does
}

// noteMissing notes what nodes were told by a manager that noted nothing yet, or what somebody has taken off their Machines: of
// those that are to run the pool's template.
func (r *Reconciler) noteMissing(ctx context.Context, seen *observation) error {
	if seen.Revision == "" || !seen.Pool.DeletionTimestamp.IsZero() || ptr.Deref(seen.Pool.Spec.Paused, false) {
		return nil
	}
	var notes []planner.Action
	for _, m := range seen.Machines {
		agent := seen.Agents[m.Name]
		told := agent != nil && agent.Labels[v1alpha1.MachineUIDLabel] == string(m.UID) && agent.Spec.Revision == seen.Revision
		if told && m.DeletionTimestamp.IsZero() && v1alpha1.ToldRevision(m) != seen.Revision {
			notes = append(notes, planner.Action{Name: m.Name})
		}
	}
	_, errs := r.forEach(ctx, notes, func(ctx context.Context, note planner.Action) error {
		return r.noteTold(ctx, seen.machine(note.Name), seen.Revision)
	}, never)
	return errors.Join(errs...)
}

// noteTold writes beside a Machine what its node is about to be told, so that a NodeAgent that somebody deletes is made anew with
// that, and not with what the Machine was made from years ago.
func (r *Reconciler) noteTold(ctx context.Context, machine *clusterv1.Machine, revision string) error {
	if machine == nil {
		return nil
	}
	base, next := machine.DeepCopy(), machine.DeepCopy()
	delete(base.Annotations, v1alpha1.ToldRevisionAnnotation) // What the cache says of it may be old.
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, v1alpha1.ToldRevisionAnnotation, revision)
	return ignoreGone(r.Client.Patch(ctx, next, client.MergeFrom(base)), "note what Machine %s is told to run", machine.Name)
}
