package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/consistency"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/lookup"
)

const (
	// lookInterval is how often a Host is logged in to, and an unfit one is given the agent to look anew; troubleInterval
	// is how often one that cannot be reached or cleaned is tried.
	lookInterval    = 5 * time.Minute
	troubleInterval = 30 * time.Second
)

// Reconciler looks after Hosts.
type Reconciler struct {
	*Servers

	written consistency.Objects
	said    consistency.Statuses[v1alpha1.HostStatus]
	passed  passed
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	h, err := lookup.GetOrNil(ctx, r.Client, req.NamespacedName, &v1alpha1.Host{})
	if err != nil {
		return ctrl.Result{}, err
	}
	if h == nil {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if r.written.IsOlder(h) {
		return ctrl.Result{RequeueAfter: consistency.Patience}, nil
	}
	claim, err := claimOf(h)
	if err != nil {
		return r.report(ctx, h.DeepCopy(), h, nil, &infra.Problem{Reason: v1alpha1.ReasonCleanupFailed, Message: err.Error()})
	}
	if !h.DeletionTimestamp.IsZero() && claim == nil {
		return ctrl.Result{}, r.letGo(ctx, h)
	}
	if claim != nil && !isReleased(claim) {
		if claim, err = r.stillWanted(ctx, h, claim); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.beginCleaning(ctx, h, claim); err != nil {
		return ctrl.Result{}, err
	}
	before := h.DeepCopy()
	err = r.look(ctx, h, claim)
	why := explain(err)
	switch {
	case err != nil && why == nil:
		return ctrl.Result{}, err
	case why == nil && isReleased(claim):
		return r.free(ctx, before, h, claim)
	}
	return r.report(ctx, before, h, claim, why)
}

// forget drops what is remembered of a Host that is gone.
func (r *Reconciler) forget(host types.NamespacedName) {
	r.written.Forget(host)
	r.picks.claimed.Forget(host)
	r.said.Forget(host)
	r.passed.forget(host)
}

// letGo lets a Host go that nobody has.
func (r *Reconciler) letGo(ctx context.Context, h *v1alpha1.Host) error {
	if !controllerutil.ContainsFinalizer(h, v1alpha1.HostFinalizer) {
		return nil
	}
	return r.write(ctx, h, func(h *v1alpha1.Host) error {
		controllerutil.RemoveFinalizer(h, v1alpha1.HostFinalizer)
		return nil
	})
}

// stillWanted releases a Host whose claimer is gone without having done so.
func (r *Reconciler) stillWanted(ctx context.Context, h *v1alpha1.Host, claim *v1alpha1.HostClaim) (*v1alpha1.HostClaim, error) {
	m := &v1alpha1.HostMachine{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: h.Namespace, Name: claim.Name}, m)
	switch {
	case err == nil && string(m.UID) == claim.UID:
		return claim, nil
	case client.IgnoreNotFound(err) != nil:
		return nil, fmt.Errorf("look for the claimer of Host %s: %w", h.Name, err)
	}
	claim.Released = ptr.To(true)
	return claim, r.write(ctx, h, func(h *v1alpha1.Host) error { return setClaim(h, *claim) })
}

// beginCleaning has the status say of a Host that was released what is done with it, before that takes minutes.
func (r *Reconciler) beginCleaning(ctx context.Context, h *v1alpha1.Host, claim *v1alpha1.HostClaim) error {
	if !isReleased(claim) || isCondition(h, v1alpha1.HostCleanCondition, metav1.ConditionFalse) {
		return nil
	}
	before := h.DeepCopy()
	set(h, v1alpha1.HostCleanCondition, metav1.ConditionFalse, v1alpha1.ReasonCleaning, "The Host was released and is being cleaned.")
	_, err := r.report(ctx, before, h, claim, nil)
	return err
}

// look logs in, and does what the Host needs. It writes what it found into the Host's conditions and facts.
func (r *Reconciler) look(ctx context.Context, h *v1alpha1.Host, claim *v1alpha1.HostClaim) error {
	if claim == nil {
		if err := r.onlyOne(ctx, h); err != nil {
			return r.unfit(h, err)
		}
	}
	if isNew(h, claim) {
		set(h, v1alpha1.HostCleanCondition, metav1.ConditionUnknown, v1alpha1.ReasonClaimed, "The Host serves a machine.")
		return nil
	}
	s, err := r.login(ctx, h)
	if err != nil {
		return r.unreachable(h, claim, err)
	}
	defer func() { _ = s.Close() }()
	h.Status.HostKey = s.HostKey()
	if err := r.pin(ctx, h); err != nil {
		return err
	}
	if _, err := s.run(ctx, "the first command", "true", nil); err != nil {
		return r.unreachable(h, claim, err)
	}
	set(h, v1alpha1.HostReachableCondition, metav1.ConditionTrue, v1alpha1.ReasonReachable, "")
	switch {
	case isReleased(claim):
		return r.clean(ctx, h, s, claim)
	case claim != nil:
		set(h, v1alpha1.HostCleanCondition, metav1.ConditionUnknown, v1alpha1.ReasonClaimed, "The Host serves a machine.")
		return nil
	}
	return r.inspect(ctx, h, s)
}

// isNew says that the Host was claimed just now. Whose claim it is logs in at this moment, and tells what comes of it: two
// logins at once take a small server twice the time.
func isNew(h *v1alpha1.Host, claim *v1alpha1.HostClaim) bool {
	return claim != nil && !isReleased(claim) && (h.Status.Claim == nil || h.Status.Claim.UID != claim.UID) &&
		isCondition(h, v1alpha1.HostReachableCondition, metav1.ConditionTrue)
}

// unreachable says why nobody can log in.
func (r *Reconciler) unreachable(h *v1alpha1.Host, claim *v1alpha1.HostClaim, err error) error {
	why := explain(err)
	if why == nil {
		return err
	}
	set(h, v1alpha1.HostReachableCondition, metav1.ConditionFalse, why.Reason, why.Message)
	if isReleased(claim) {
		set(h, v1alpha1.HostCleanCondition, metav1.ConditionFalse, why.Reason, "It cannot be cleaned: "+why.Message)
	}
	return why
}

// pin records the key of a Host that is trusted on first use, before it is sent anything.
func (r *Reconciler) pin(ctx context.Context, h *v1alpha1.Host) error {
	if !ptr.Deref(h.Spec.TrustOnFirstUse, false) || h.Annotations[v1alpha1.HostKeyAnnotation] != "" {
		return nil
	}
	return r.write(ctx, h, func(h *v1alpha1.Host) error {
		if h.Annotations == nil {
			h.Annotations = map[string]string{}
		}
		h.Annotations[v1alpha1.HostKeyAnnotation] = h.Status.HostKey
		return nil
	})
}

// inspect runs the preflight on a Host that is nobody's, and leaves nothing on it.
func (r *Reconciler) inspect(ctx context.Context, h *v1alpha1.Host, s *server) error {
	if r.passed.holds(h) {
		return nil
	}
	held, err := s.held(ctx)
	if err != nil {
		return r.unfit(h, err)
	}
	if held != nil {
		return r.unfit(h, heldBy(held))
	}
	visit := s.visit()
	report, offset, err := visit.ask(ctx)
	if left := visit.leave(ctx); err == nil {
		err = left
	}
	if err != nil {
		return r.unfit(h, err)
	}
	h.Status.Facts = factsOf(report, offset)
	set(h, v1alpha1.HostCleanCondition, metav1.ConditionTrue, v1alpha1.ReasonClean, "")
	if report.Facts.Drover {
		set(h, v1alpha1.HostCleanCondition, metav1.ConditionFalse, v1alpha1.ReasonForeignHost, "An agent is installed on the server, or has left its state: run `drover-agent reset` on it.")
	}
	if why := against(report, offset); why != "" {
		return r.unfit(h, &infra.Problem{Reason: v1alpha1.ReasonPreflightFailed, Message: why})
	}
	clone, err := r.cloned(ctx, h)
	if err != nil {
		return err
	}
	set(h, v1alpha1.HostFitCondition, metav1.ConditionTrue, v1alpha1.ReasonFit, strings.TrimSpace(warnings(report)+" "+clone))
	r.passed.record(h)
	return nil
}

func (r *Reconciler) unfit(h *v1alpha1.Host, err error) error {
	if isLost(err) {
		return r.unreachable(h, nil, err)
	}
	why := explain(err)
	if why == nil {
		return err
	}
	set(h, v1alpha1.HostFitCondition, metav1.ConditionFalse, why.Reason, why.Message)
	return why
}

// clean gives a server back: the agent's reset, its proof, and last what is the manager's own.
func (r *Reconciler) clean(ctx context.Context, h *v1alpha1.Host, s *server, claim *v1alpha1.HostClaim) error {
	failed := func(err error) error {
		if isLost(err) {
			return r.unreachable(h, claim, err)
		}
		why := explain(err)
		if why == nil {
			return err
		}
		set(h, v1alpha1.HostCleanCondition, metav1.ConditionFalse, v1alpha1.ReasonCleanupFailed,
			fmt.Sprintf("%s To finish by hand: run `%s reset` on the server; it is tried again meanwhile.", sentence(why.Message), s.program()))
		return &infra.Problem{Reason: v1alpha1.ReasonCleanupFailed, Message: why.Message}
	}
	who, err := r.ownerOf(ctx, h.Namespace, *claim)
	if err != nil {
		return err
	}
	held, err := s.held(ctx)
	if err != nil {
		return failed(err)
	}
	if held != nil && *held != who {
		// Another's server is not this one's to clean: the claim never came so far as to take it.
		set(h, v1alpha1.HostCleanCondition, metav1.ConditionUnknown, v1alpha1.ReasonForeignHost, heldBy(held).Error())
		return nil
	}
	begun := true
	if held == nil {
		// That the lock file is gone proves nothing. It is made again, so that nobody else comes meanwhile.
		err = s.lock(ctx, who)
	} else {
		begun, err = s.begun(ctx)
	}
	if err != nil {
		return failed(err)
	}
	// Where nothing was begun, over a slow link the copy of the agent would be all that this takes.
	if begun {
		if _, err := s.putAgent(ctx, ""); err != nil {
			return failed(err)
		}
		if err := s.reset(ctx); err != nil {
			return failed(err)
		}
	}
	if err := s.leave(ctx); err != nil {
		return failed(err)
	}
	set(h, v1alpha1.HostCleanCondition, metav1.ConditionTrue, v1alpha1.ReasonClean, "")
	return nil
}

// free makes a clean Host nobody's, once its status says that it is: until the preflight has run again, nobody else may
// claim it. That look takes seconds, and the status stands meanwhile.
func (r *Reconciler) free(ctx context.Context, before, h *v1alpha1.Host, claim *v1alpha1.HostClaim) (ctrl.Result, error) {
	r.passed.forget(client.ObjectKeyFromObject(h))
	set(h, v1alpha1.HostFitCondition, metav1.ConditionUnknown, string(v1alpha1.HostPending), "The preflight runs again after a release.")
	if _, err := r.report(ctx, before, h, nil, nil); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.write(ctx, h, func(h *v1alpha1.Host) error {
		clearClaim(h)
		if cleanupOf(h, claim) == v1alpha1.HostCleanupManual && h.Annotations[v1alpha1.QuarantineAnnotation] == "" {
			h.Annotations[v1alpha1.QuarantineAnnotation] = "released; look at the server and remove this annotation"
		}
		return nil
	})
}

// report writes the status if it changed, and an event when the Host got into trouble.
func (r *Reconciler) report(ctx context.Context, before, h *v1alpha1.Host, claim *v1alpha1.HostClaim, why *infra.Problem) (ctrl.Result, error) {
	conclude(h, claim, why)
	if !equality.Semantic.DeepEqual(before.Status, h.Status) {
		r.said.Writes(client.ObjectKeyFromObject(h), *h.Status.DeepCopy())
		patch := client.MergeFrom(&v1alpha1.Host{ObjectMeta: h.ObjectMeta, TypeMeta: h.TypeMeta, Spec: h.Spec, Status: before.Status})
		if err := r.Client.Status().Patch(ctx, h, patch); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("write the status of Host %s: %w", h.Name, err))
		}
		r.written.Wrote(h)
		r.tell(before, h)
	}
	return ctrl.Result{RequeueAfter: interval(h.Status.State)}, nil
}

// interval is how soon a Host is looked at again.
func interval(state v1alpha1.HostState) time.Duration {
	switch state {
	case v1alpha1.HostUnreachable, v1alpha1.HostQuarantined, v1alpha1.HostCleaning, v1alpha1.HostPending:
		return troubleInterval
	}
	return lookInterval
}

// tell makes an event of a Host that is in new trouble.
func (r *Reconciler) tell(before, h *v1alpha1.Host) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ReadyCondition)
	is := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.ReadyCondition)
	if is == nil || is.Status != metav1.ConditionFalse || is.Reason == v1alpha1.ReasonCleaning || was != nil && was.Reason == is.Reason && was.Message == is.Message {
		return
	}
	r.Recorder.Eventf(h, nil, corev1.EventTypeWarning, is.Reason, "Look", "%s", v1alpha1.BoundMessage(is.Message))
}

// write changes metadata, and keeps the status that is being made.
func (r *Reconciler) write(ctx context.Context, h *v1alpha1.Host, change func(*v1alpha1.Host) error) error {
	status := h.Status.DeepCopy()
	err := r.patchHost(ctx, h, change)
	if err == nil {
		r.written.Wrote(h)
	}
	h.Status = *status
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
