package nodepool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// apply does what was planned. What it returns as an error is tried again; what the API server refuses for good is in
// the outcome.
func (r *Reconciler) apply(ctx context.Context, seen *observation, plan planner.Result) (planner.Outcome, error) {
	var outcome planner.Outcome
	creates, updates := plan.Of(planner.Create), plan.Of(planner.Update)
	if len(creates)+len(updates) > 0 {
		if err := r.storeRevision(ctx, seen); err != nil {
			return outcome, err
		}
	}
	if err := r.recordOrdinal(ctx, seen, plan); err != nil {
		return outcome, err
	}
	if err := r.reserve(ctx, seen, plan); err != nil {
		return outcome, err
	}
	created, createErrs := r.forEach(ctx, creates, func(ctx context.Context, action planner.Action) error {
		return r.createMachine(ctx, seen, action)
	}, refusedToAll)
	outcome.Created = created
	outcome.Failures = failures(creates, createErrs)
	r.refusals.remember(seen, outcome.Failures)
	discardErr := r.discard(ctx, seen, plan.Of(planner.Discard))
	outcome.ReservationFinished = plan.FinishReservation && len(created) == len(creates) && discardErr == nil

	deleted, deleteErrs := r.forEach(ctx, plan.Of(planner.Delete), func(ctx context.Context, action planner.Action) error {
		if action.Cause == planner.Repair {
			return r.replaceMachine(ctx, seen, action, plan.Repair, plan.AnswerOf(action.Name))
		}
		return r.deleteMachine(ctx, seen.Pool, action)
	}, never)
	outcome.Deleted = deleted
	treated, treatErrs := r.forEach(ctx, plan.Of(planner.Treat), func(ctx context.Context, action planner.Action) error {
		return r.treat(ctx, seen, action, plan.Repair)
	}, never)
	outcome.Treated = treated
	_, uncordonErrs := r.forEach(ctx, plan.Of(planner.Uncordon), r.uncordon, never)
	updated, updateErrs, beginErr := r.update(ctx, seen, plan)
	outcome.Updated, outcome.Drains = updated, drains(updates, updateErrs)
	outcome.UpdateFailures = failures(updates, updateErrs)
	outcome.Forced = seen.forced.of(updated)
	deletionErr := r.keepDeletion(ctx, seen)
	releaseErr := r.release(ctx, seen.Machines, plan.Of(planner.Release))
	pruneErr := r.prune(ctx, seen, plan.PruneRevisions)
	noteErr := r.noteMissing(ctx, seen)
	answerErr := errors.Join(r.answerOthers(ctx, seen, plan), r.trustHosts(ctx, seen, plan))

	r.log(ctx, outcome)
	return outcome, errors.Join(worthRetrying(createErrs), discardErr, errors.Join(deleteErrs...), errors.Join(treatErrs...), errors.Join(uncordonErrs...), beginErr, worthRetrying(updateErrs), deletionErr, releaseErr, pruneErr, noteErr, answerErr)
}

// errNotTried is the error of an action that came after one whose error ended the batch.
var errNotTried = errors.New("not tried")

func never(error) bool { return false }

// forEach takes actions, several at a time, and returns those that succeeded; errs has an entry for each action. After an
// error that ends the batch no other action is begun.
func (r *Reconciler) forEach(ctx context.Context, actions []planner.Action, take func(context.Context, planner.Action) error, ends func(error) bool) (done []planner.Action, errs []error) {
	errs = make([]error, len(actions))
	var group errgroup.Group
	var ended atomic.Bool
	group.SetLimit(r.concurrency())
	for i, action := range actions {
		group.Go(func() error {
			// The first is always tried, so that the same trouble is told of the same machine.
			if errs[i] = errNotTried; i > 0 && ended.Load() {
				return nil
			}
			if errs[i] = take(ctx, action); errs[i] != nil && ends(errs[i]) {
				ended.Store(true)
			}
			return nil
		})
	}
	_ = group.Wait() // errs has them
	for i, action := range actions {
		if errs[i] == nil {
			done = append(done, action)
		}
	}
	return done, errs
}

// recordOrdinal writes the next ordinal beside the status, before it is used there. It fails as reserve does.
func (r *Reconciler) recordOrdinal(ctx context.Context, seen *observation, plan planner.Result) error {
	if !plan.Record {
		return nil
	}
	base, pool := seen.Pool, seen.Pool.DeepCopy()
	if pool.Annotations == nil {
		pool.Annotations = map[string]string{}
	}
	pool.Annotations[v1alpha1.NextOrdinalAnnotation] = strconv.FormatInt(plan.NextOrdinal, 10)
	if err := r.Client.Patch(ctx, pool, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("record the next ordinal of NodePool %s: %w", client.ObjectKeyFromObject(pool), err)
	}
	r.written.Wrote(pool)
	seen.Pool = pool
	return nil
}

// reserve writes which ordinals are about to be used. It fails if anybody wrote the pool since it was read.
func (r *Reconciler) reserve(ctx context.Context, seen *observation, plan planner.Result) error {
	if plan.Reserve == nil {
		return nil
	}
	base, pool := seen.Pool, seen.Pool.DeepCopy()
	pool.Status.NextOrdinal = ptr.To(plan.NextOrdinal)
	pool.Status.Reserved = plan.Reserve
	if err := r.patchStatus(ctx, base, pool); err != nil {
		return fmt.Errorf("reserve ordinals for NodePool %s: %w", client.ObjectKeyFromObject(pool), err)
	}
	seen.Pool = pool
	return nil
}

func (r *Reconciler) deleteMachine(ctx context.Context, pool *v1alpha1.NodePool, action planner.Action) error {
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: pool.Namespace, Name: action.Name}}
	err := r.Client.Delete(ctx, machine, client.Preconditions{UID: ptr.To(action.UID)}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete Machine %s: %w", action.Name, err)
	}
	r.written.Deleted(pool, action.Name, action.UID)
	return nil
}

// release takes the ordinal's finalizer from Machines that are being deleted.
func (r *Reconciler) release(ctx context.Context, machines []*clusterv1.Machine, actions []planner.Action) error {
	byName := make(map[string]*clusterv1.Machine, len(machines))
	for _, m := range machines {
		byName[m.Name] = m
	}
	_, errs := r.forEach(ctx, actions, func(ctx context.Context, action planner.Action) error {
		return r.releaseMachine(ctx, byName[action.Name])
	}, never)
	return errors.Join(errs...)
}

func (r *Reconciler) releaseMachine(ctx context.Context, seen *clusterv1.Machine) error {
	machine := seen.DeepCopy()
	if !controllerutil.RemoveFinalizer(machine, v1alpha1.OrdinalFinalizer) {
		return nil
	}
	err := r.Client.Patch(ctx, machine, client.MergeFromWithOptions(seen, client.MergeFromWithOptimisticLock{}))
	return ignoreGone(err, "release Machine %s", machine.Name)
}

// prune deletes revisions that nothing uses. One that was made anew since, by the next leader say, may be in use.
func (r *Reconciler) prune(ctx context.Context, seen *observation, revisions []string) error {
	var errs []error
	for i := range seen.stored {
		stored := &seen.stored[i]
		if !slices.Contains(revisions, stored.Labels[v1alpha1.RevisionLabel]) {
			continue
		}
		object := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: stored.Namespace, Name: stored.Name}}
		err := r.Client.Delete(ctx, object, client.Preconditions{UID: ptr.To(stored.UID)})
		if err := ignoreGone(err, "delete ControllerRevision %s", stored.Name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// failures are the errors of actions, for the status.
func failures(actions []planner.Action, errs []error) []planner.Failure {
	var list []planner.Failure
	for i, err := range errs {
		if err != nil && !errors.Is(err, errNotTried) {
			list = append(list, planner.Failure{Name: actions[i].Name, Message: err.Error(), Passing: !refused(err)})
		}
	}
	return list
}

// worthRetrying are the errors that may go away by themselves.
func worthRetrying(errs []error) error {
	var list []error
	for _, err := range errs {
		if err != nil && !errors.Is(err, errNotTried) && !refused(err) {
			list = append(list, err)
		}
	}
	return errors.Join(list...)
}

// refused says that the API server will give the same answer until somebody changes something.
func refused(err error) bool {
	var foreign *foreignError
	return refusedToAll(err) || errors.As(err, &foreign)
}

// refusedToAll says that it gives that answer for the other machines of a pool, too.
func refusedToAll(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return false
	}
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

func (r *Reconciler) log(ctx context.Context, outcome planner.Outcome) {
	logger := ctrl.LoggerFrom(ctx)
	for _, action := range outcome.Created {
		logger.Info("Created a machine", "machine", action.Name, "cause", action.Cause, "reason", action.Reason)
	}
	for _, action := range outcome.Deleted {
		logger.Info("Deleted a machine", "machine", action.Name, "cause", action.Cause, "reason", action.Reason)
	}
	for _, action := range outcome.Treated {
		logger.Info("Asked a machine's agent to repair it", "machine", action.Name, "rung", action.Rung, "reason", action.Reason)
	}
	for _, action := range outcome.Updated {
		logger.Info("Changed a machine", "machine", action.Name, "cause", action.Cause, "revision", action.Revision, "class", action.Class.String(), "reason", action.Reason)
	}
	for _, failure := range outcome.Failures {
		logger.Info("Failed to create a machine", "machine", failure.Name, "reason", failure.Message)
	}
}
